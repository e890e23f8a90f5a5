package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/proposer/proposer/internal/testutil/e2e"
)

// referenceCOCO reads a valid instances file by the letter, with encoding/json.
func referenceCOCO(text []byte) ([]Image, error) {
	type number = json.Number
	var file struct {
		Images []struct {
			ID            any
			File          string `json:"file_name"`
			Width, Height *number
		}
		Annotations []struct {
			Image    any `json:"image_id"`
			Category any `json:"category_id"`
			Box      []number
			Crowd    any `json:"iscrowd"`
			Hard     any `json:"difficult"`
			Area     *number
			BBox     []number `json:"bbox"`
		}
		Categories []struct {
			ID   any
			Name string
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&file); err != nil {
		return nil, err
	}
	float := func(n number) float64 {
		v, err := n.Float64()
		if err != nil {
			panic(err)
		}
		return v
	}
	// key returns equal texts for equal ids.
	key := func(id any) string {
		s := fmt.Sprint(id)
		if n, ok := id.(number); ok && strings.ContainsAny(s, ".e") {
			s = strconv.FormatInt(int64(float(n)), 10)
		}
		return s
	}
	side := func(n *number) int {
		if n == nil {
			return 0
		}
		return max(0, int(float(*n)))
	}
	var images []Image
	indices := map[string]int{}
	for i, e := range file.Images {
		indices[key(e.ID)] = i
		_, isText := e.ID.(string)
		images = append(images, Image{File: e.File, ID: key(e.ID), Width: side(e.Width), Height: side(e.Height), TextID: isText})
	}
	names := map[string]string{}
	for _, e := range file.Categories {
		names[key(e.ID)] = e.Name
	}
	for _, e := range file.Annotations {
		o := Object{X0: float(e.BBox[0]), Y0: float(e.BBox[1]), Class: "object"}
		o.X1, o.Y1 = o.X0+float(e.BBox[2]), o.Y0+float(e.BBox[3])
		if o.Area = (o.X1 - o.X0) * (o.Y1 - o.Y0); e.Area != nil {
			o.Area = float(*e.Area)
		}
		o.Difficult = e.Crowd == true || e.Crowd == number("1") || e.Hard == number("1")
		if len(names) > 0 {
			o.Class = names[key(e.Category)]
		}
		i := indices[key(e.Image)]
		images[i].Objects = append(images[i].Objects, o)
	}
	return images, nil
}

// validFile draws a valid instances file.
func validFile(t *rapid.T) []byte {
	pick := func(label string, values ...any) any { return rapid.SampledFrom(values).Draw(t, label) }
	// spelled returns an id in one of its forms.
	spelled := func(id any) any {
		n, ok := id.(int64)
		if !ok {
			return id
		}
		return pick("form", json.Number(fmt.Sprint(n)), json.Number(fmt.Sprint(n)+".0"), json.Number(fmt.Sprint(n)+"e0"), fmt.Sprint(n))
	}
	id := rapid.OneOf(
		rapid.Map(rapid.Int64Range(-3, 1<<50), func(n int64) any { return n }),
		rapid.Map(rapid.StringMatching(`[a-zé]{1,3}|0[0-9]{2}`), func(s string) any { return s }),
		rapid.Map(rapid.Uint64Range(1<<63, 1<<64-1), func(n uint64) any { return json.Number(strconv.FormatUint(n, 10)) }),
	)
	ids := rapid.SliceOfNDistinct(id, 0, 6, func(id any) string { return fmt.Sprint(id) }).Draw(t, "ids")
	categories := rapid.SliceOfNDistinct(id, 0, 3, func(id any) string { return fmt.Sprint(id) }).Draw(t, "categories")
	file := map[string]any{"info": pick("info", nil, 5, map[string]any{"a": []any{1, "]"}})}
	images, annotations, classes := []any{}, []any{}, []any{}
	for i, id := range ids {
		e := map[string]any{"id": spelled(id), "file_name": fmt.Sprintf("%s%d.jpg", rapid.StringMatching(`[a-zä"\n/]{0,3}x`).Draw(t, "name"), i), "license": 3}
		e["file_name"] = strings.TrimLeft(strings.ReplaceAll(e["file_name"].(string), "//", "-"), "/")
		for _, side := range []string{"width", "height"} {
			if v := pick(side, "none", nil, -1, 0, 640, json.Number("480.0")); v != "none" {
				e[side] = v
			}
		}
		images = append(images, e)
	}
	for i, id := range categories {
		classes = append(classes, map[string]any{"id": spelled(id), "name": fmt.Sprint("class ", i%2)})
	}
	float := rapid.Map(rapid.OneOf(rapid.Float64Range(-100, 1000), rapid.Float64Range(0, 1e-9)), func(v float64) any { return v })
	size := rapid.Map(rapid.OneOf(rapid.Float64Range(0, 1000), rapid.Just(0.)), func(v float64) any { return v })
	for i := range rapid.IntRange(0, 12).Draw(t, "n") {
		if len(ids) == 0 {
			break
		}
		e := map[string]any{
			"id": i, "image_id": spelled(pick("image", ids...)), "segmentation": [][]float64{{1, 2}},
			"bbox": []any{float.Draw(t, "x"), float.Draw(t, "y"), size.Draw(t, "width"), size.Draw(t, "height")},
		}
		if len(categories) > 0 {
			e["category_id"] = spelled(pick("category", categories...))
		}
		if v := pick("crowd", "none", 0, 1, true, false, nil); v != "none" {
			e["iscrowd"] = v
		}
		if v := pick("difficult", "none", "none", 0, 1); v != "none" {
			e["difficult"] = v
		}
		if v := pick("area", "none", 0, 17.5, nil); v != "none" {
			e["area"] = v
		}
		annotations = append(annotations, e)
	}
	// The lists may have any order; encoding/json sorts names.
	file["images"], file["annotations"] = images, annotations
	if len(classes) > 0 || rapid.Bool().Draw(t, "no categories") {
		file["categories"] = classes
	}
	names := rapid.Permutation(slices.Sorted(func(yield func(string) bool) {
		for name := range file {
			if !yield(name) {
				return
			}
		}
	})).Draw(t, "order")
	var text bytes.Buffer
	text.WriteByte('{')
	indent := rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent")
	for i, name := range names {
		if i > 0 {
			text.WriteString(", ")
		}
		value, err := json.MarshalIndent(file[name], "", indent)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%q:%s", name, value)
	}
	text.WriteByte('}')
	return text.Bytes()
}

// TestReadCOCOMatchesReference compares valid files with the reference implementation.
func TestReadCOCOMatchesReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := validFile(t)
		want, err := referenceCOCO(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got, err := ReadCOCO(bytes.NewReader(text), Options{Strict: true})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(got.Images, want) {
			t.Fatalf("%s\ngot  %+v\nwant %+v", text, got.Images, want)
		}
		only, err := ReadCOCO(bytes.NewReader(text), Options{ImagesOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			want[i].Objects = nil
		}
		if !reflect.DeepEqual(only.Images, want) {
			t.Fatalf("%s\nimages only: got %+v\nwant %+v", text, only.Images, want)
		}
	})
}

// TestReadCOCODevelopmentSet compares a real file with the reference implementation.
func TestReadCOCODevelopmentSet(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(e2e.Data(t, "coco-dev"), "instances.json"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := referenceCOCO(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadCOCO(bytes.NewReader(text), Options{Strict: true})
	if err != nil || !reflect.DeepEqual(got.Images, want) {
		t.Errorf("%d images, %v, differ from the %d of the reference", len(got.Images), err, len(want))
	}
}

// mutate changes a text in one of the ways in which files are damaged or written wrongly.
func mutate(text []byte, random *rand.Rand) []byte {
	text = bytes.Clone(text)
	tokens := []string{
		"null", "NaN", "-1", "0", "1e999", `"x"`, "[]", "{}", "true", "-Infinity", `""`, `"1"`, "1.0", "18446744073709551616", `"../a.jpg"`, `"\u0000"`,
		"[[[[[[", "}}", ",,", `"`, "\\", "\x00", "\xff\xfe", "1 2", strings.Repeat("[", 3000), strings.Repeat("9", 400),
	}
	at := func() int { return random.IntN(len(text) + 1) }
	for range 1 + random.IntN(2) {
		switch random.IntN(10) {
		case 0: // flip a bit
			if len(text) > 0 {
				text[random.IntN(len(text))] ^= 1 << random.IntN(8)
			}
		case 1: // cut
			text = text[:at()]
		case 2: // remove a part
			a, b := at(), at()
			text = slices.Delete(text, min(a, b), min(max(a, b), min(a, b)+1+random.IntN(40)))
		case 3: // repeat a part
			a := at()
			b := min(len(text), a+random.IntN(400))
			text = slices.Insert(text, at(), bytes.Clone(text[a:b])...)
		default: // replace a value
			a := at()
			for a < len(text) && !strings.ContainsRune(" :[,", rune(text[a])) {
				a++
			}
			a = min(a+1, len(text))
			b := a
			for b < len(text) && !strings.ContainsRune(",]}", rune(text[b])) {
				b++
			}
			text = slices.Replace(text, a, b, []byte(tokens[random.IntN(len(tokens))])...)
		}
	}
	return text
}

// TestReadCOCOMutations reads ten thousand damaged files: each is an error, or its invalid entries
// are counted.
func TestReadCOCOMutations(t *testing.T) {
	var file bytes.Buffer
	if err := writeLikeCOCO(&file, 12, 4); err != nil {
		t.Fatal(err)
	}
	whole, err := ReadCOCO(bytes.NewReader(file.Bytes()), Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	objects := countObjects(whole)
	failed, skipped, intact := 0, 0, 0
	for i := range 10_000 {
		text := mutate(file.Bytes(), rand.New(rand.NewPCG(uint64(i), 22)))
		d, err := ReadCOCO(bytes.NewReader(text), Options{})
		switch {
		case err != nil:
			failed++
			if e, ok := err.(*Error); !ok || e.Err == nil || d != nil || len(err.Error()) > 500 {
				t.Fatalf("mutation %d: %v", i, err)
			}
			continue
		case len(d.Skipped) > 0:
			skipped++
		default:
			intact++
		}
		checkDataset(t, d.Images)
		count := countObjects(d)
		for _, s := range d.Skipped {
			count += s.Count
		}
		if missing := objects - count; missing > 8 || len(d.Images) > 20 {
			// A mutation removes or repeats at most a few entries of this file.
			t.Fatalf("mutation %d: %d objects are missing, %d images", i, missing, len(d.Images))
		}
		only, err := ReadCOCO(bytes.NewReader(text), Options{ImagesOnly: true})
		if err != nil || len(only.Images) != len(d.Images) {
			t.Fatalf("mutation %d: without objects %+v, %v; want %d images", i, only, err, len(d.Images))
		}
	}
	t.Logf("%d errors, %d with entries that were skipped, %d without", failed, skipped, intact)
	if failed < 1000 || skipped < 500 || intact < 500 {
		t.Errorf("%d errors, %d skipped, %d intact: want some of each", failed, skipped, intact)
	}
}

func countObjects(d *Dataset) (n int) {
	for _, img := range d.Images {
		n += len(img.Objects)
	}
	return n
}

// TestReadCOCOMemory reads files that need as much memory as possible for their size.
func TestReadCOCOMemory(t *testing.T) {
	const size = 3 << 20
	fill := func(begin, end string, entry func(i int) string) string {
		var b strings.Builder
		b.WriteString(begin)
		for i := 0; b.Len() < size; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(entry(i))
		}
		b.WriteString(end)
		return b.String()
	}
	const image = `{"images":[{"id":1,"file_name":"a"}],"annotations":[`
	text36 := func(i int) string { return strconv.FormatInt(int64(i), 36) }
	for _, c := range []struct{ name, text string }{
		{"images", fill(`{"images":[`, `],"annotations":[]}`, func(i int) string { return fmt.Sprintf(`{"id":%d,"file_name":"%s"}`, i, text36(i)) })},
		{"images without ids", fill(`{"images":[`, `],"annotations":[]}`, func(i int) string { return fmt.Sprintf(`{"file_name":"%s"}`, text36(i)) })},
		{"images with ids of text", fill(`{"images":[`, `],"annotations":[]}`, func(i int) string { return fmt.Sprintf(`{"id":"%s","file_name":"%[1]s"}`, text36(i)) })},
		{"objects of one image", fill(image, `]}`, func(i int) string { return fmt.Sprintf(`{"image_id":1,"id":%d,"bbox":[0,0,1,1]}`, i) })},
		{"equal objects", fill(image, `]}`, func(i int) string { return `{"image_id":1,"id":1,"bbox":[0,0,1,1]}` })},
		{"orphans before the images", fill(`{"annotations":[`, `],"images":[]}`, func(i int) string { return fmt.Sprintf(`{"image_id":"%s","id":"x%[1]s","bbox":[0,0,1,1]}`, text36(i)) })},
		{"invalid annotations", fill(image, `]}`, func(i int) string { return `0` })},
		{"categories", fill(`{"images":[],"annotations":[],"categories":[`, `]}`, func(i int) string { return fmt.Sprintf(`{"id":%d,"name":""}`, i) })},
		{"keys", fill(`{`, `}`, func(i int) string { return fmt.Sprintf(`"%s":0`, text36(i)) })},
		{"one entry", `{"images":[` + strings.Repeat(`[`, 5000) + strings.Repeat(" ", size) + `]}`},
		{"a long name", `{"images":[{"id":1,"file_name":"` + strings.Repeat(`\u00e9`, size/6) + `"}],"annotations":[]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer debug.SetGCPercent(debug.SetGCPercent(10))
			runtime.GC()
			before := liveHeap()
			most := watchHeap()
			d, err := ReadCOCO(strings.NewReader(c.text), Options{})
			peak := most() - before
			runtime.GC()
			result := max(0, liveHeap()-before)
			ratio := float64(peak-result) / float64(len(c.text))
			t.Logf("%.2f times the file beyond the result (%v)", ratio, err)
			if ratio > 4 {
				t.Errorf("memory of %.2f times the file beyond the result, want at most 4", ratio)
			}
			runtime.KeepAlive(d)
			runtime.KeepAlive(c.text)
		})
	}
}

// liveHeap returns the bytes that the last garbage collection found in use.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watchHeap begins to watch the heap after each garbage collection. The function that it returns
// ends that and returns the largest size.
func watchHeap() func() int64 {
	var most atomic.Int64
	var done atomic.Bool
	type object struct{ _ [64]byte } // unreachable, so that the next collection finds one
	var watch func(*object)
	watch = func(*object) {
		most.Store(max(most.Load(), liveHeap()))
		if !done.Load() {
			runtime.SetFinalizer(&object{}, watch)
		}
	}
	watch(nil)
	return func() int64 {
		done.Store(true)
		return most.Load()
	}
}
