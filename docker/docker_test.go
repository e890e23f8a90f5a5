// Package docker is tests alone: that what operators are given here fits the service.
package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"

	"github.com/proposer/proposer/api"
	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/testutil/certs"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/scene"
)

const token = "0123456789abcdef"

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// decode reads a file of YAML, or JSON, strictly.
func decode[T any](t *testing.T, name string) (to T) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, name)), &to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return to
}

// tree is a value of YAML, to be walked by names and numbers.
type tree struct {
	t     *testing.T
	place string
	value any
}

func load(t *testing.T, name string) tree { return tree{t, name, decode[any](t, name)} }

func (n tree) at(path ...any) tree {
	n.t.Helper()
	for _, step := range path {
		var ok bool
		switch step := step.(type) {
		case string:
			var m map[string]any
			if m, ok = n.value.(map[string]any); ok {
				n.value, ok = m[step]
			}
		case int:
			var l []any
			if l, ok = n.value.([]any); ok && step < len(l) {
				n.value = l[step]
			} else {
				ok = false
			}
		}
		n.place = fmt.Sprintf("%s/%v", n.place, step)
		if !ok {
			n.t.Fatalf("there is no %s", n.place)
		}
	}
	return n
}

func (n tree) list() (all []tree) {
	l, ok := n.value.([]any)
	if !ok {
		n.t.Fatalf("%s is no list", n.place)
	}
	for i := range l {
		all = append(all, n.at(i))
	}
	return all
}

func (n tree) text() string { return fmt.Sprint(n.value) }

func (n tree) is(want any) {
	n.t.Helper()
	if n.text() != fmt.Sprint(want) {
		n.t.Errorf("%s is %v, want %v", n.place, n.value, want)
	}
}

// named is the item of a list with this name.
func (n tree) named(name string) tree {
	n.t.Helper()
	for _, item := range n.list() {
		if m, ok := item.value.(map[string]any); ok && m["name"] == name {
			return item
		}
	}
	n.t.Fatalf("%s has no %q", n.place, name)
	return tree{}
}

// files are all that lie here but the tests.
func files(t *testing.T) (names []string) {
	t.Helper()
	if err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(name, ".go") {
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return append(names, "../Dockerfile")
}

func TestFilesCanBeRead(t *testing.T) {
	seen := map[string]int{}
	for _, name := range files(t) {
		kind := filepath.Ext(name)
		seen[kind]++
		switch kind {
		case ".yml", ".yaml":
			for d := yaml.NewDecoder(strings.NewReader(read(t, name))); ; {
				var document map[string]any
				if err := d.Decode(&document); errors.Is(err, io.EOF) {
					break
				} else if err != nil || len(document) == 0 {
					t.Errorf("%s: %v, %v", name, document, err)
					break
				}
			}
		case ".json":
			if !json.Valid([]byte(read(t, name))) {
				t.Errorf("%s is not JSON", name)
			}
		case ".sh", ".sbatch", "":
		default:
			t.Errorf("%s: what is it?", name)
		}
	}
	if seen[".yml"] < 5 || seen[".yaml"] < 11 || seen[".json"] == 0 {
		t.Errorf("there are only %v", seen)
	}
}

// settings are the service's, by their variables, as its documentation lists them.
func settings(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| `(PROPOSER_[A-Z_]+)` \\|").FindAllStringSubmatch(read(t, "../docs/configuration.md"), -1) {
		all[m[2]] = m[1]
	}
	if len(all) < 20 {
		t.Fatalf("docs/configuration.md lists %d settings", len(all))
	}
	return all
}

func TestSettingsExist(t *testing.T) {
	known := settings(t)
	ours := map[string]bool{
		"PROPOSER_PORT":   true, // of Kubernetes, named to say that it is not one
		"PROPOSER_SHARDS": true, // of batch
	}
	for _, name := range append(files(t), "../docs/operations.md") {
		for _, variable := range regexp.MustCompile(`\bPROPOSER_[A-Z_]+`).FindAllString(read(t, name), -1) {
			if _, ok := known[variable]; !ok && !ours[variable] {
				t.Errorf("%s: %s is not a setting", name, variable)
			}
		}
	}
	others := []string{"enable-feature", "from-file", "build", "signal", "read-only", "print-config"} // of other programs and commands
	for _, name := range []string{"alerts.yml", "grafana/dashboard.json", "../docs/operations.md"} {
		for _, m := range regexp.MustCompile(`(?:^|[\s(\x60])--([a-z-]+)`).FindAllStringSubmatch(read(t, name), -1) {
			flag := m[1]
			if _, ok := known["PROPOSER_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))]; !ok && !slices.Contains(others, flag) {
				t.Errorf("%s: --%s is not a setting", name, flag)
			}
		}
	}
}

// gathered are the service's metrics after requests that have every one of them show.
func gathered(t *testing.T) (server *api.Server, all map[string]*dto.MetricFamily) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("alice "+token), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := api.DefaultConfig()
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Registry = prometheus.NewRegistry()
	var err error
	if cfg.Authenticator, err = auth.LoadTokens(file); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certs.WriteSelfSigned(t, cert, key, "proposer", time.Now().Add(time.Hour))
	certificate, err := auth.LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLSConfig = certificate.TLSConfig()
	cfg.CertificateExpiry = certificate.Expires
	if server, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	server.RecordReload(nil)
	for _, r := range []struct {
		body []byte
		want int
	}{{scene.Render(1, 64, 48, 2).PNG(), http.StatusOK}, {[]byte("no picture"), http.StatusUnsupportedMediaType}} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/proposals?mode=single", bytes.NewReader(r.body))
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, req)
		if w.Code != r.want {
			t.Fatalf("%d %s, want %d", w.Code, w.Body, r.want)
		}
	}
	families, err := cfg.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]*dto.MetricFamily{}
	for _, f := range families {
		all[f.GetName()] = f
	}
	return server, all
}

// series are the names that Prometheus has of the metrics.
func series(all map[string]*dto.MetricFamily) map[string]bool {
	names := map[string]bool{"up": true}
	for name, f := range all {
		names[name] = true
		if k := f.GetType(); k == dto.MetricType_HISTOGRAM || k == dto.MetricType_SUMMARY {
			names[name+"_sum"], names[name+"_count"], names[name+"_bucket"] = true, true, k == dto.MetricType_HISTOGRAM
		}
	}
	return names
}

var metricName = regexp.MustCompile(`\b(?:proposer|go|process)_[a-z0-9_]+|\bup\b`)

// expressions are those of a text's PromQL, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, rule := range load(t, "alerts.yml").at("groups", 0, "rules").list() {
		all[rule.at("alert").text()] = rule.at("expr").text()
	}
	for title, exprs := range panels(t) {
		for i, e := range exprs {
			all[fmt.Sprintf("%s (%d)", title, i)] = e
		}
	}
	rule := load(t, "kubernetes/prometheus-adapter.yaml").at("rules", 0)
	for _, name := range podMetrics(t) {
		all["adapter: "+name] = strings.NewReplacer("<<.Series>>", name, "<<.LabelMatchers>>", `job="proposer"`, "<<.GroupBy>>", "instance").
			Replace(rule.at("metricsQuery").text())
	}
	return all
}

// panels are the dashboard's queries by the panels' titles.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, p := range load(t, "grafana/dashboard.json").at("panels").list() {
		if p.at("type").text() == "row" {
			continue
		}
		title := p.at("title").text()
		if all[title] != nil {
			t.Errorf("two panels are called %q", title)
		}
		for _, target := range p.at("targets").list() {
			all[title] = append(all[title], target.at("expr").text())
		}
		if all[title] == nil {
			t.Errorf("%q asks nothing", title)
		}
	}
	return all
}

// podMetrics are what the HorizontalPodAutoscaler asks the adapter for.
func podMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range load(t, "kubernetes/hpa.yaml").at("spec", "metrics").list() {
		if m.at("type").text() == "Pods" {
			names = append(names, m.at("pods", "metric", "name").text())
		}
	}
	return names
}

func TestMetricsExist(t *testing.T) {
	_, all := gathered(t)
	known := series(all)
	shown := map[string]bool{}
	for where, expr := range expressions(t) {
		names := metricName.FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric: %s", where, expr)
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			shown[name] = true
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "proposer_") && !shown[name] {
			t.Errorf("neither the dashboard nor an alert has %s", name)
		}
	}
}

// The labels that are asked for and summed over are those that there are.
func TestLabelsExist(t *testing.T) {
	_, all := gathered(t)
	known := map[string]bool{"job": true, "instance": true, "le": true}
	for _, f := range all {
		for _, l := range f.GetMetric()[0].GetLabel() {
			known[l.GetName()] = true
		}
	}
	for where, expr := range expressions(t) {
		for _, m := range regexp.MustCompile(`by \(([^)]*)\)|([a-z_]+)(?:=~|!~|!=|=)"`).FindAllStringSubmatch(expr, -1) {
			for name := range strings.SplitSeq(m[1]+m[2], ",") {
				if name = strings.TrimSpace(name); !known[name] {
					t.Errorf("%s: no metric has a label %q", where, name)
				}
			}
		}
	}
}

func TestAlerts(t *testing.T) {
	runbook := read(t, "../docs/operations.md")
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range load(t, "alerts_test.yml").at("tests").list() {
		for _, c := range test.at("alert_rule_test").list() {
			name := c.at("alertname").text()
			if len(c.at("exp_alerts").list()) > 0 {
				fires[name] = true
			} else {
				quiet[name] = true
			}
		}
	}
	rules := load(t, "alerts.yml").at("groups", 0, "rules").list()
	for _, rule := range rules {
		name := rule.at("alert").text()
		if s := rule.at("labels", "severity").text(); !slices.Contains([]string{"critical", "warning", "info"}, s) {
			t.Errorf("%s has the severity %s", name, s)
		}
		rule.at("annotations", "summary")
		if d := rule.at("annotations", "description").text(); len(d) < 80 {
			t.Errorf("%s does not say what to do: %s", name, d)
		}
		rule.at("annotations", "runbook").is("docs/operations.md#" + strings.ToLower(name))
		if !strings.Contains(runbook, "\n### "+name+"\n") {
			t.Errorf("docs/operations.md has no section for %s", name)
		}
		if !fires[name] || !quiet[name] {
			t.Errorf("alerts_test.yml: that %s fires is tested: %v; that it does not: %v", name, fires[name], quiet[name])
		}
	}
	if n := strings.Count(runbook, "\n### Proposer"); n != len(rules) {
		t.Errorf("docs/operations.md has sections for %d alerts, and there are %d", n, len(rules))
	}
}

func TestDashboard(t *testing.T) {
	d := load(t, "grafana/dashboard.json")
	if d.at("uid").text() == "" || len(d.at("links").list()) > 0 || strings.Contains(read(t, "grafana/dashboard.json"), "://") {
		t.Error("want a uid, and no links")
	}
	var variables []string
	for _, v := range d.at("templating", "list").list() {
		variables = append(variables, v.at("name").text())
	}
	ids := map[string]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.at("panels").list() {
		title := p.at("title").text()
		if id := p.at("id").text(); ids[id] {
			t.Errorf("%s: the id %s is there twice", title, id)
		} else {
			ids[id] = true
		}
		var g struct{ X, Y, W, H int }
		place, _ := json.Marshal(p.at("gridPos").value) // it was JSON
		if err := json.Unmarshal(place, &g); err != nil || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s is at %s: %v", title, place, err)
		}
		for y := range g.H {
			for x := range g.W {
				at := [2]int{g.X + x, g.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%s lies over %s", title, other)
				}
				taken[at] = title
			}
		}
		if p.at("type").text() == "row" {
			continue
		}
		p.at("description")
		p.at("datasource", "uid").is("${datasource}")
		refs := map[string]bool{}
		for _, target := range p.at("targets").list() {
			target.at("datasource", "uid").is("${datasource}")
			if ref := target.at("refId").text(); refs[ref] {
				t.Errorf("%s asks %s twice", title, ref)
			} else {
				refs[ref] = true
			}
			for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.at("expr").text(), -1) {
				if !strings.HasPrefix(m[1], "__") && !slices.Contains(variables, m[1]) {
					t.Errorf("%s: $%s is not a variable of the dashboard", title, m[1])
				}
			}
		}
	}
}

// The metrics table of the documentation is what the service says of itself.
func TestMetricsAreDocumented(t *testing.T) {
	_, all := gathered(t)
	table := "| metric | type | labels | |\n|---|---|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		if !strings.HasPrefix(name, "proposer_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		table += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	if !strings.Contains(read(t, "../docs/operations.md"), "\n"+table+"\n") {
		t.Errorf("docs/operations.md does not hold\n%s", table)
	}
}

// What the Dockerfile, compose and Kubernetes say of the same things is the same.
func TestTheyAgree(t *testing.T) {
	dockerfile := read(t, "../Dockerfile")
	_, last, _ := strings.Cut(dockerfile, "\nFROM scratch\n")
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(last)
	if user == nil || user[1] == "0" {
		t.Fatalf("the image has no user with a number that is not root: %q", user)
	}
	for _, want := range []string{"EXPOSE 8080 9090", `CMD ["proposer", "health"]`, "STOPSIGNAL SIGTERM", `ENTRYPOINT ["proposer"]`, `CMD ["serve"]`} {
		if !strings.Contains(last, want+"\n") {
			t.Errorf("the image has no %s", want)
		}
	}
	if strings.Contains(last, "RUN ") {
		t.Error("there is no shell in the image that could run anything")
	}
	if script := read(t, "runtime.sh"); !strings.Contains(script, user[1]+":"+user[2]) {
		t.Errorf("runtime.sh does not know the user %s", user[1:])
	}

	spec := load(t, "kubernetes/deployment.yaml").at("spec", "template", "spec")
	spec.at("securityContext", "runAsUser").is(user[1])
	spec.at("securityContext", "runAsGroup").is(user[2])
	spec.at("securityContext", "fsGroup").is(user[2])
	spec.at("securityContext", "runAsNonRoot").is(true)
	spec.at("securityContext", "seccompProfile", "type").is("RuntimeDefault")
	spec.at("automountServiceAccountToken").is(false)
	spec.at("enableServiceLinks").is(false)
	pod := spec.at("containers", 0)
	pod.at("securityContext", "readOnlyRootFilesystem").is(true)
	pod.at("securityContext", "allowPrivilegeEscalation").is(false)
	pod.at("securityContext", "capabilities", "drop").is("[ALL]")
	pod.at("ports").named("http").at("containerPort").is(8080)
	pod.at("ports").named("admin").at("containerPort").is(9090)
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		pod.at(probe, "httpGet", "port").is("http")
	}
	spec.at("volumes").named("tokens").at("secret", "defaultMode").is(0o440)
	pod.at("env").named("PROPOSER_TOKENS").at("value").is(pod.at("volumeMounts").named("tokens").at("mountPath").text() + "/tokens")

	grace, err := time.ParseDuration(pod.at("env").named("PROPOSER_GRACE").at("value").text())
	if err != nil {
		t.Fatal(err)
	}
	sleep, end := number(pod.at("lifecycle", "preStop", "sleep", "seconds")), number(spec.at("terminationGracePeriodSeconds"))
	if end < sleep+int(grace.Seconds())+5 {
		t.Errorf("a pod is killed after %d s, and takes %d s and then %v", end, sleep, grace)
	}
	memory := number(pod.at("resources", "limits", "memory"))
	pod.at("resources", "requests", "memory").is(pod.at("resources", "limits", "memory").text())
	pod.at("env").named("GOMEMLIMIT").at("value").is(fmt.Sprintf("%dMiB", memory*1024*7/8))
	pixels := number(pod.at("env").named("PROPOSER_MAX_PIXELS").at("value"))
	for _, m := range load(t, "kubernetes/hpa.yaml").at("spec", "metrics").list() {
		if m.at("type").text() == "Pods" && m.at("pods", "metric", "name").text() == "proposer_work_pixels" {
			m.at("pods", "target", "averageValue").is(pixels / 2)
		}
	}

	compose := load(t, "compose.yml")
	for name, s := range compose.at("services").value.(map[string]any) {
		s := tree{t, name, s}
		s.at("cap_drop").is("[ALL]")
		s.at("security_opt").is("[no-new-privileges:true]")
		if name != "proposer" && !regexp.MustCompile(`:-[a-z/]+:v?\d+\.\d+\.\d+\}$`).MatchString(s.at("image").text()) {
			t.Errorf("%s has no exact version: %s", name, s.at("image").text())
		}
	}
	service := compose.at("services", "proposer")
	service.at("ports").is("[8080:8080]")
	service.at("read_only").is(true)
	service.at("healthcheck", "test").is("[CMD proposer health]")
	scrape := load(t, "prometheus.yml").at("scrape_configs", 0, "static_configs", 0, "targets", 0)
	scrape.is("proposer" + service.at("environment", "PROPOSER_ADMIN_ADDR").text())
	stop, err := time.ParseDuration(service.at("stop_grace_period").text())
	if err != nil || stop < api.DefaultConfig().ShutdownTimeout+5*time.Second {
		t.Errorf("%v after %v: %v", stop, api.DefaultConfig().ShutdownTimeout, err)
	}
	for _, name := range []string{"prometheus", "grafana"} {
		for _, v := range compose.at("services", name, "volumes").list() {
			if source, _, _ := strings.Cut(v.text(), ":"); strings.HasPrefix(source, ".") {
				if _, err := os.Stat(source); err != nil {
					t.Error(err)
				}
			}
		}
	}
	source := load(t, "grafana/provisioning/datasources/prometheus.yml").at("datasources", 0)
	source.at("url").is("http://prometheus:9090")
	source.at("jsonData", "timeInterval").is(load(t, "prometheus.yml").at("global", "scrape_interval").text())
}

func number(n tree) int {
	n.t.Helper()
	v, err := strconv.Atoi(strings.TrimSuffix(n.text(), "Gi"))
	if err != nil {
		n.t.Fatalf("%s: %v", n.place, err)
	}
	return v
}

func TestKubernetes(t *testing.T) {
	const label = "app.kubernetes.io/name"
	labels := map[string]any{label: "proposer"}
	load(t, "kubernetes/deployment.yaml").at("spec", "selector", "matchLabels").is(labels)
	load(t, "kubernetes/deployment.yaml").at("spec", "template", "metadata", "labels").is(labels)
	load(t, "kubernetes/service.yaml").at("spec", "selector").is(labels)
	load(t, "kubernetes/pdb.yaml").at("spec", "selector", "matchLabels").is(labels)
	load(t, "kubernetes/networkpolicy.yaml").at("spec", "podSelector", "matchLabels").is(labels)
	load(t, "kubernetes/podmonitor.yaml").at("spec", "selector", "matchLabels").is(labels)
	load(t, "kubernetes/podmonitor.yaml").at("spec", "jobLabel").is(label)
	load(t, "kubernetes/podmonitor.yaml").at("spec", "podMetricsEndpoints", 0, "port").is("admin")
	load(t, "kubernetes/service.yaml").at("spec", "ports", 0, "targetPort").is("http")
	target := load(t, "kubernetes/hpa.yaml").at("spec", "scaleTargetRef")
	target.at("name").is(load(t, "kubernetes/deployment.yaml").at("metadata", "name").text())

	// All is applied, but for what is not Kubernetes' own.
	listed := read(t, "kubernetes/kustomization.yaml")
	all, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if name = filepath.Base(name); name != "kustomization.yaml" && name != "prometheus-adapter.yaml" && !strings.Contains(listed, "- "+name) {
			t.Errorf("the kustomization does not name %s", name)
		}
	}
	for _, r := range load(t, "kubernetes/kustomization.yaml").at("resources").list() {
		if !slices.Contains(all, "kubernetes/"+r.text()) {
			t.Errorf("there is no %s", r.text())
		}
	}

	// What the autoscaler asks for is what the adapter makes.
	query := load(t, "kubernetes/prometheus-adapter.yaml").at("rules", 0, "seriesQuery").text()
	m := regexp.MustCompile(`__name__=~"([^"]+)"`).FindStringSubmatch(query)
	if m == nil {
		t.Fatal(query)
	}
	names := podMetrics(t)
	if len(names) == 0 {
		t.Error("the autoscaler asks the service nothing")
	}
	for _, name := range names {
		if !regexp.MustCompile(m[1]).MatchString(name) {
			t.Errorf("the adapter has no %s", name)
		}
	}
}

func TestPromtool(t *testing.T) {
	promtool := e2e.Program(t, "promtool")
	run := func(in io.Reader, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Stdin = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run(nil, "check", "config", "prometheus.yml")
	run(nil, "check", "rules", "alerts.yml")
	run(nil, "test", "rules", "alerts_test.yml")
	server, _ := gathered(t)
	w := httptest.NewRecorder()
	server.Admin().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "proposer_pictures_total{") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	run(w.Body, "check", "metrics")
}
