package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/testutil/e2e"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// timeout stops a test whose browser hangs.
const timeout = 10 * time.Minute

// allocator starts the browser's processes; closed at the end of all tests.
var allocator, closeAllocator = context.WithCancel(context.Background())

func TestMain(m *testing.M) {
	code := m.Run()
	closeAllocator()
	os.Exit(code)
}

// chromium returns the browser's program: PROPOSER_CHROMIUM, or one of the usual names. Without
// one it skips the test, or fails it if PROPOSER_E2E is 1.
func chromium(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if name := os.Getenv("PROPOSER_CHROMIUM"); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	message := fmt.Sprintf("no browser found: want one of %s, or PROPOSER_CHROMIUM", strings.Join(names, ", "))
	e2e.Missing(t, message)
	return ""
}

// A tab is a browser that shows the page.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens the page at base in a new browser. When the test ends, it reports requests to other
// hosts and console messages, except about HTTP errors.
func open(t *testing.T, base string) *tab {
	t.Helper()
	program := chromium(t)
	ctx, cancel := context.WithTimeout(allocator, timeout)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.Env("TMPDIR="+t.TempDir())) // removed with the test's files
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)

	p := &tab{t, ctx}
	p.watch(base)
	p.size(1440, 900)
	p.do(chromedp.Navigate(base))
	p.until(`document.querySelectorAll("#mode option").length > 0 || !document.querySelector("#token").hidden`)
	return p
}

// watch reports requests to other hosts and console messages when the test ends.
func (p *tab) watch(base string) {
	p.t.Helper()
	home := must(url.Parse(base))
	var (
		mu   sync.Mutex
		seen []string
	)
	report := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf(format, args...))
	}
	messages, requests := chromedp.Console(p.ctx), chromedp.Events(p.ctx, network.RequestWillBeSent)
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if !strings.HasPrefix(m.Text, "Failed to load resource: the server responded with a status of") {
				report("console message (%s): %s", m.Type, m.Text)
			}
		}
	}()
	go func() {
		for r, err := range requests {
			if err != nil {
				return
			}
			to, err := url.Parse(r.Request.URL)
			if err != nil || to.Host != home.Host && to.Scheme != "blob" && to.Scheme != "data" {
				report("request to %.100s", r.Request.URL)
			}
		}
	}()
	p.t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range seen {
			p.t.Error(s)
		}
	})
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) size(width, height int64) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
	if err != nil {
		p.t.Fatal(err)
	}
}

// eval evaluates an expression in the page, and awaits it if it is a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wait waits for an event of the service.
func (p *tab) wait(event <-chan struct{}, what string) {
	p.t.Helper()
	select {
	case <-event:
	case <-p.ctx.Done():
		p.t.Fatalf("%s: %v", what, p.ctx.Err())
	}
}

// until waits for a condition, and fails with the text of the page if it does not become true.
func (p *tab) until(condition string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingTimeout(timeout/2)))
	if err != nil {
		p.t.Fatalf("%s did not become true: %v; the page shows:\n%s", condition, err, eval[string](p, `document.body.innerText`))
	}
}

// key focuses an element and presses a key.
func (p *tab) key(id, key string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.ID(id)), chromedp.KeyEvent(key))
}

// point moves the mouse to a point of the image, in fractions of its sides.
func (p *tab) point(x, y float64) {
	p.t.Helper()
	at := eval[[]float64](p, fmt.Sprintf(`(() => {
		const r = document.querySelector("#stage").getBoundingClientRect();
		const [w, h] = document.querySelector("#status").textContent.match(/(\d+) × (\d+)/).slice(1).map(Number);
		const scale = Math.min((r.width - 32) / w, (r.height - 32) / h);
		return [r.x + r.width / 2 + (%v - .5) * w * scale, r.y + r.height / 2 + (%v - .5) * h * scale];
	})()`, x, y))
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]))
}

// upload opens a file in the page.
func (p *tab) upload(name string, content []byte) {
	p.t.Helper()
	at := filepath.Join(p.t.TempDir(), name)
	if err := os.WriteFile(at, content, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.SetUploadFiles(chromedp.ID("file"), []string{at}, chromedp.NodeReady))
	p.until(fmt.Sprintf(`document.querySelector("#name").textContent === %q`, name))
	p.until(`document.querySelector("#progress").hidden`)
}

func (p *tab) sample(name string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`[data-sample=%q]`, name))))
	p.until(`document.body.dataset.state === "shown" && document.querySelector("#progress").hidden`)
}

// rows counts the boxes in the list, which is updated after the image.
const rows = `document.querySelectorAll("#rows .row:not([hidden])").length`

// ink counts the pixels that are drawn over the image.
const ink = `(() => {
	const { width, height } = document.querySelector("#stage");
	const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
	copy.drawImage(document.querySelector("#stage"), 0, 0);
	const d = copy.getImageData(0, 0, width, height).data;
	let n = 0;
	for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
	return n;
})()`

func text(id string) string { return fmt.Sprintf(`document.querySelector("#%s").textContent`, id) }

// exercise uses the page at base like a person, with any service that implements the API.
func exercise(t *testing.T, base string) {
	p := open(t, base)
	p.until(`document.querySelector("#empty").offsetHeight > 0`)

	p.sample("table.jpg")
	p.until(rows + ` === 25 && document.activeElement.id === "stage"`)
	p.until(ink + ` > 1000`)
	if got := eval[string](p, text("status")); !strings.HasPrefix(got, "25 of ") || !strings.Contains(got, "720 × 480") {
		t.Errorf("the status is %q: want 25 boxes, and the sides", got)
	}

	t.Log("fewer and more boxes")
	few := eval[int](p, ink)
	p.key("count", kb.End)
	p.until(rows + ` > 25`)
	p.until(fmt.Sprintf(`%s > %d`, ink, few))
	all := eval[int](p, rows)
	if want := eval[string](p, text("count-out")); fmt.Sprint(all) != want {
		t.Errorf("%d rows: want %s, as the slider says", all, want)
	}
	p.key("side", kb.PageUp)
	p.until(fmt.Sprintf(`%s < %d`, rows, all))
	p.key("side", kb.Home)
	p.until(fmt.Sprintf(`%s === %d`, rows, all))
	p.key("score", kb.End)
	p.until(rows + ` === 1`)
	p.key("score", kb.Home)
	p.key("nms", kb.Home)
	p.until(fmt.Sprintf(`%s < %d`, rows, all))
	p.key("nms", kb.End)
	p.key("count", kb.Home)
	p.until(rows + ` === 1`)

	t.Log("a box under the mouse")
	p.point(-0.01, -0.01) // it was where the sample's button was
	before := eval[int](p, ink)
	first := eval[[]float64](p, `(() => {
		const c = document.querySelector("#rows .row").children;
		const [x, y] = c[2].textContent.split(", ").map(Number), [w, h] = c[3].textContent.split(" × ").map(Number);
		return [(x + w / 2) / 720, (y + h / 2) / 480];
	})()`)
	p.point(first[0], first[1])
	p.until(text("evidence") + `.includes("Merged")`)
	p.until(fmt.Sprintf(`%s > %d`, ink, before+1000)) // its region
	for _, want := range []string{"Box 1", "Score", "Region", "Origins", "First tree", "Position", "Created"} {
		if got := eval[string](p, text("evidence")); !strings.Contains(got, want) {
			t.Errorf("the evidence is %q: want %s in it", got, want)
		}
	}
	p.point(-0.01, -0.01)
	p.until(fmt.Sprintf(`%s === %d`, ink, before))

	t.Log("boxes by keyboard")
	p.key("count", kb.End)
	for i, key := range []string{kb.ArrowRight, kb.ArrowRight, kb.ArrowRight, kb.ArrowLeft} {
		p.key("stage", key)
		p.until(fmt.Sprintf(`%s.startsWith("Box %d")`, text("evidence"), []int{1, 2, 3, 2}[i]))
	}
	p.until(text("announce") + `.startsWith("Box 2, score 0.")`)
	p.key("list", kb.ArrowDown)
	p.until(`document.querySelector("#rows [aria-selected=true]").id === document.querySelector("#list").getAttribute("aria-activedescendant")`)
	p.until(text("evidence") + `.startsWith("Box 3")`)

	t.Log("its position in the tree")
	position := eval[string](p, `[...document.querySelectorAll("#evidence dt")].find((e) => e.textContent === "Position").nextSibling.textContent`)
	p.do(chromedp.Click(chromedp.CSS("#evidence button")))
	p.until(`document.body.dataset.view === "tree" && document.querySelector("#progress").hidden`)
	p.until(text("merges-out") + ` !== ""`)
	p.t.Logf("the box's position is %s", position)

	t.Log("the tree")
	p.key("merges", kb.Home)
	p.until(`/^([\d,]+) of \1/.test(` + text("merges-out") + `)`)
	p.key("merges", kb.ArrowRight)
	p.until(`/ after 1 merge /.test(` + text("status") + `)`)
	p.key("merges", kb.End)
	p.until(text("merges-out") + `.startsWith("1 of ")`)
	p.point(0.5, 0.5)
	p.until(text("evidence") + `.includes("Positionthe root")`)
	p.key("stage", kb.ArrowLeft)
	p.until(text("merges-out") + `.startsWith("2 of ")`)
	p.until(text("evidence") + `.includes("from the root")`)
	p.do(chromedp.Click(chromedp.CSS(`[name=style][value=outline]`)))
	p.do(chromedp.Click(chromedp.CSS(`[name=view][value=boxes]`)))
	p.until(rows + ` > 25`)

	t.Log("files")
	p.upload("broken.jpg", []byte("not an image"))
	p.until(text("problem") + `.includes("want ")`)
	p.until(`document.querySelector("#empty").offsetHeight > 0`)
	p.upload("my table.jpg", must(os.ReadFile("assets/table.jpg")))
	p.until(rows + ` > 25`)
	if got := eval[string](p, text("problem")); got != "" {
		t.Errorf("the problem with the previous image is still shown: %q", got)
	}
	p.do(chromedp.Click(chromedp.ID("curl")))
	p.until(`document.querySelector("#command").open || document.querySelector("#curl.done")`)
}

func TestPage(t *testing.T) {
	exercise(t, new(double).serve(t))
}

func TestToken(t *testing.T) {
	p := open(t, (&double{token: "secret"}).serve(t))
	p.until(`document.querySelector("#token").offsetHeight > 0 && document.activeElement.id === "bearer"`)
	p.do(chromedp.SendKeys(chromedp.ID("bearer"), "wrong"+kb.Enter))
	p.until(`!document.querySelector("#token").hidden && ` + text("problem") + `.includes("token")`)
	p.do(chromedp.SendKeys(chromedp.ID("bearer"), "secret"+kb.Enter))
	p.until(`document.querySelectorAll("#mode option").length === 3 && document.querySelector("#token").hidden`)
	p.sample("table.jpg")
	p.until(rows + ` === 25`)
}

// The boxes of an image that the browser cannot decode are shown on a plain background.
func TestUndecodableImage(t *testing.T) {
	p := open(t, new(double).serve(t))
	p.upload("scan.tiff", []byte("II*\x00rest"))
	p.until(rows + ` === 2`)
	p.until(`document.querySelector("#note").textContent.includes("cannot show scan.tiff")`)
	p.until(ink + ` > 100`)
	p.key("stage", kb.ArrowRight)
	p.until(text("evidence") + `.includes("36 × 36 px")`)
}

// A newer request aborts the older one.
func TestNewerRequestWins(t *testing.T) {
	d := &double{blocked: make(chan struct{}, 1), aborted: make(chan struct{}, 1)}
	p := open(t, d.serve(t))
	p.sample("table.jpg")
	p.until(rows + ` === 25`)
	p.do(chromedp.SetValue(chromedp.ID("mode"), "best"))
	eval[any](p, `document.querySelector("#mode").dispatchEvent(new Event("change", { bubbles: true })), null`)
	p.until(`!document.querySelector("#progress").hidden`)
	p.wait(d.blocked, "the request for mode best")
	p.do(chromedp.SetValue(chromedp.ID("mode"), "single"))
	eval[any](p, `document.querySelector("#mode").dispatchEvent(new Event("change", { bubbles: true })), null`)
	p.until(`document.querySelector("#progress").hidden`)
	p.wait(d.aborted, "the end of the request for mode best")
}

// An inconsistent answer is reported, and later answers are shown.
func TestInvalidAnswers(t *testing.T) {
	tests := map[string]struct{ old, new, key, want string }{
		"no JSON":       {`{"`, `<html>`, "", "is invalid"},
		"a broken mask": {`"counts":"`, `"counts":"3`, kb.ArrowRight, "mask has"},
		"a broken tree": {`"leaves":`, `"leaves":1`, "", "do not form a tree"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := &double{corrupt: func(body []byte) []byte { return bytes.ReplaceAll(body, []byte(test.old), []byte(test.new)) }}
			p := open(t, d.serve(t))
			if strings.Contains(name, "tree") {
				p.do(chromedp.Click(chromedp.CSS(`[name=view][value=tree]`)))
			}
			p.sample("table.jpg")
			if test.key != "" {
				p.key("stage", test.key)
			}
			p.until(fmt.Sprintf(`%s.includes(%q)`, text("problem"), test.want))
			p.do(chromedp.Click(chromedp.CSS(`[name=view][value=boxes]`)))
			p.upload("scan.tiff", []byte("II*\x00rest"))
			p.until(rows + ` === 2 && ` + text("problem") + ` === ""`)
		})
	}
}

func TestCommandAndDownload(t *testing.T) {
	base := new(double).serve(t)
	p := open(t, base)
	got := call[[]string](p, "api.js", `(() => {
		const plain = m.curl("it's a table.jpg", { mode: "fast", max: 25 });
		m.token.set("secret");
		return [plain, m.curl("b.jpg", {})];
	})()`, nil)
	want := []string{
		`curl --data-binary '@it'\''s a table.jpg' '` + base + `/v1/proposals?mode=fast&max=25'`,
		`curl -H "Authorization: Bearer $TOKEN" --data-binary '@b.jpg' '` + base + `/v1/proposals?'`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("commands %q, want %q", got, want)
	}

	p.sample("table.jpg")
	p.until(rows + ` === 25`)
	saved := eval[[]string](p, `new Promise((done) => {
		const make = URL.createObjectURL;
		URL.createObjectURL = (blob) => { window.saved = blob; return make(blob); };
		HTMLAnchorElement.prototype.click = async function () { done([this.download, await window.saved.text()]); };
		document.querySelector("#download").click();
	})`)
	if saved[0] != "table.boxes.json" || saved[1] != string(proposalsJSON) {
		t.Errorf("saved as %s, %d bytes: want the %d bytes of the answer as table.boxes.json", saved[0], len(saved[1]), len(proposalsJSON))
	}
}

// An image with an EXIF orientation is shown upright, like the service's boxes.
func TestEXIFOrientation(t *testing.T) {
	p := open(t, new(double).serve(t))
	img := must(os.ReadFile("assets/table.jpg"))
	exif := "\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	sides := eval[[]int](p, fmt.Sprintf(`new Promise((done) => {
		const make = createImageBitmap;
		window.createImageBitmap = async (...args) => {
			const made = await make(...args);
			done([made.width, made.height]);
			return made;
		};
		const transfer = new DataTransfer();
		transfer.items.add(new File([new Uint8Array(%s)], "turned.jpg", { type: "image/jpeg" }));
		window.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
	})`, must(json.Marshal(numbers(slices.Concat(img[:2], []byte(exif), img[2:]))))))
	if !slices.Equal(sides, []int{480, 720}) {
		t.Errorf("the rotated image has sides %v, want 480 × 720", sides)
	}
	p.until(rows + ` === 25`)
}

func numbers(b []byte) []int {
	n := make([]int, len(b))
	for i, v := range b {
		n[i] = int(v)
	}
	return n
}

// The page fits windows of any width.
func TestWidths(t *testing.T) {
	p := open(t, new(double).serve(t))
	for _, view := range []string{"empty", "boxes", "tree"} {
		switch view {
		case "boxes":
			p.sample("table.jpg")
			p.until(rows + ` === 25`)
			p.key("stage", kb.ArrowRight)
		case "tree":
			p.do(chromedp.Click(chromedp.CSS(`[name=view][value=tree]`)))
			p.until(text("merges-out") + ` !== ""`)
		}
		for _, width := range []int64{360, 390, 768, 1024, 1200, 1440, 1920, 2560} {
			p.size(width, 800)
			wide := eval[[]float64](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
				const stage = document.querySelector(".stage").getBoundingClientRect();
				done([document.documentElement.scrollWidth, stage.width, stage.height]);
			})))`)
			if wide[0] > float64(width) {
				t.Errorf("%s at %d pixels: the page is %v pixels wide", view, width, wide[0])
			}
			if wide[1] < float64(width)*0.45 || wide[2] < 240 {
				t.Errorf("%s at %d pixels: the stage has %v × %v", view, width, wide[1], wide[2])
			}
		}
		p.size(1440, 900)
	}
}

// A change of the selection among 500 boxes draws the canvas once, in the next frame.
func TestManyBoxes(t *testing.T) {
	p := open(t, new(double).serve(t))
	p.sample("meadow.jpg")
	p.key("count", kb.End)
	p.until(rows + ` === 500`)
	spent := eval[[]float64](p, `(async () => {
		const real = requestAnimationFrame, spent = [];
		const frame = () => new Promise((r) => real(r));
		window.requestAnimationFrame = (f) => real((now) => {
			const start = performance.now();
			f(now);
			spent.push(performance.now() - start);
		});
		const stage = document.querySelector("#stage");
		for (let i = 0; i < 30; i++) {
			stage.dispatchEvent(new KeyboardEvent("keydown", { key: i % 3 ? "ArrowRight" : "Escape", bubbles: true }));
			await frame();
			await frame();
		}
		window.requestAnimationFrame = real;
		return spent.sort((a, b) => a - b);
	})()`)
	median := spent[len(spent)/2]
	t.Logf("%d drawings of 500 boxes: median %.1f ms, longest %.1f ms", len(spent), median, spent[len(spent)-1])
	if len(spent) != 30 {
		t.Errorf("%d drawings for 30 changes, want one each", len(spent))
	}
}

// The page works with the real service.
func TestPageWithService(t *testing.T) {
	chromium(t)
	cfg := api.DefaultConfig()
	cfg.Logger = slog.New(slog.DiscardHandler)
	service, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(service)
	t.Cleanup(h.Close)
	exercise(t, h.URL)
}
