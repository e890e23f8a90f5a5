// Package docker contains only tests, which check the deployment files of this folder against the
// service.
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
	"github.com/proposer/proposer/internal/testutil/golden"
	"github.com/proposer/proposer/internal/testutil/scene"
)

const token = "0123456789abcdef"

// read returns the contents of a file.
func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// decode returns the value of a YAML or JSON file.
func decode[T any](t *testing.T, name string) (to T) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, name)), &to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return to
}

// node is a value in a YAML or JSON file.
type node struct {
	t     *testing.T
	path  string
	value any
}

// load returns the root of a YAML or JSON file.
func load(t *testing.T, name string) node { return node{t, name, decode[any](t, name)} }

// at returns the value at a path of keys and indices. A path that does not exist ends the test.
func (n node) at(steps ...any) node {
	n.t.Helper()
	for _, step := range steps {
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
		n.path = fmt.Sprintf("%s/%v", n.path, step)
		if !ok {
			n.t.Fatalf("%s does not exist", n.path)
		}
	}
	return n
}

// list returns the items of a list.
func (n node) list() (all []node) {
	n.t.Helper()
	l, ok := n.value.([]any)
	if !ok {
		n.t.Fatalf("%s: got %v, want a list", n.path, n.value)
	}
	for i := range l {
		all = append(all, n.at(i))
	}
	return all
}

// text returns the value as text.
func (n node) text() string { return fmt.Sprint(n.value) }

// checkText checks that the value has the same text as want.
func (n node) checkText(want any) {
	n.t.Helper()
	if n.text() != fmt.Sprint(want) {
		n.t.Errorf("%s: got %v, want %v", n.path, n.value, want)
	}
}

// named returns the item of a list that has the given name.
func (n node) named(name string) node {
	n.t.Helper()
	for _, item := range n.list() {
		if m, ok := item.value.(map[string]any); ok && m["name"] == name {
			return item
		}
	}
	n.t.Fatalf("%s has no item named %q", n.path, name)
	return node{}
}

// files returns the names of the deployment files: all files of this folder except Go files, and the
// Dockerfile.
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

// TestFilesAreValid checks the syntax of the YAML and JSON files. Those of the chart are checked by its own tests.
func TestFilesAreValid(t *testing.T) {
	count := map[string]int{}
	for _, name := range files(t) {
		if strings.HasPrefix(name, "helm/") {
			continue
		}
		ext := filepath.Ext(name)
		count[ext]++
		t.Run(name, func(t *testing.T) {
			switch ext {
			case ".yml", ".yaml":
				checkYAML(t, name)
			case ".json":
				if !json.Valid([]byte(read(t, name))) {
					t.Error("got invalid JSON")
				}
			case ".sh", ".sbatch", ".md", ".helmignore", "":
			default:
				t.Errorf("got the unknown extension %s", ext)
			}
		})
	}
	if count[".yml"] < 5 || count[".yaml"] < 11 || count[".json"] == 0 {
		t.Errorf("got %v files, want at least 5 .yml, 11 .yaml and 1 .json", count)
	}
}

// checkYAML checks that a file consists of valid YAML documents that are not empty.
func checkYAML(t *testing.T, name string) {
	t.Helper()
	for d := yaml.NewDecoder(strings.NewReader(read(t, name))); ; {
		var document map[string]any
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil || len(document) == 0 {
			t.Fatalf("got the document %v (error %v), want a mapping", document, err)
		}
	}
}

// settings returns the flag of each environment variable that docs/configuration.md lists.
func settings(t *testing.T) map[string]string {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| `(PROPOSER_[A-Z_]+)` \\|")
	flags := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(read(t, "../docs/configuration.md"), -1) {
		flags[m[2]] = m[1]
	}
	if len(flags) < 20 {
		t.Fatalf("docs/configuration.md: got %d settings, want at least 20", len(flags))
	}
	return flags
}

// TestSettingsExist checks that the environment variables and flags in the deployment files and in
// docs/operations.md are settings of the service.
func TestSettingsExist(t *testing.T) {
	known := settings(t)
	exempt := map[string]bool{
		"PROPOSER_PORT":   true, // set by Kubernetes; a comment warns of it
		"PROPOSER_SHARDS": true, // read by the command batch
	}
	variable := regexp.MustCompile(`\bPROPOSER_[A-Z_]+`)
	for _, name := range append(files(t), "../docs/operations.md", "../docs/kubernetes.md") {
		t.Run("variables/"+name, func(t *testing.T) {
			for _, v := range variable.FindAllString(read(t, name), -1) {
				if _, ok := known[v]; !ok && !exempt[v] {
					t.Errorf("%s is not a setting", v)
				}
			}
		})
	}

	// Flags of other programs and commands.
	others := []string{"enable-feature", "from-file", "build", "signal", "read-only", "print-config", "metrics-addr", "rm", "out"}
	flag := regexp.MustCompile(`(?:^|[\s(\x60])--([a-z-]+)`)
	for _, name := range []string{"alerts.yml", "grafana/dashboard.json", "../docs/operations.md", "../docs/kubernetes.md"} {
		t.Run("flags/"+name, func(t *testing.T) {
			for _, m := range flag.FindAllStringSubmatch(read(t, name), -1) {
				v := "PROPOSER_" + strings.ToUpper(strings.ReplaceAll(m[1], "-", "_"))
				if _, ok := known[v]; !ok && !slices.Contains(others, m[1]) {
					t.Errorf("--%s is not a setting", m[1])
				}
			}
		})
	}
}

// gatherMetrics returns a service and its metrics by name, after requests that give each metric a value.
func gatherMetrics(t *testing.T) (server *api.Server, all map[string]*dto.MetricFamily) {
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
	}{
		{scene.Render(1, 64, 48, 2).PNG(), http.StatusOK},
		{[]byte("not an image"), http.StatusUnsupportedMediaType},
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/proposals?mode=single", bytes.NewReader(r.body))
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, req)
		if w.Code != r.want {
			t.Fatalf("got status %d %s, want %d", w.Code, w.Body, r.want)
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

// series returns the names of the time series that Prometheus stores for the metrics.
func series(all map[string]*dto.MetricFamily) map[string]bool {
	names := map[string]bool{"up": true}
	for name, f := range all {
		names[name] = true
		if k := f.GetType(); k == dto.MetricType_HISTOGRAM || k == dto.MetricType_SUMMARY {
			names[name+"_sum"] = true
			names[name+"_count"] = true
			names[name+"_bucket"] = k == dto.MetricType_HISTOGRAM
		}
	}
	return names
}

var metricName = regexp.MustCompile(`\b(?:proposer|go|process)_[a-z0-9_]+|\bup\b`)

// expressions returns the PromQL expressions of the alerts, the dashboard and the adapter by their
// location.
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
	rule := load(t, "prometheus-adapter.yml").at("rules", 0)
	for _, name := range podMetrics(t) {
		template := strings.NewReplacer("<<.Series>>", name, "<<.LabelMatchers>>", `job="proposer"`, "<<.GroupBy>>", "instance")
		all["adapter: "+name] = template.Replace(rule.at("metricsQuery").text())
	}
	return all
}

// panels returns the queries of the dashboard by the title of the panel.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, p := range load(t, "grafana/dashboard.json").at("panels").list() {
		if p.at("type").text() == "row" {
			continue
		}
		title := p.at("title").text()
		if all[title] != nil {
			t.Errorf("got two panels with the title %q", title)
		}
		for _, target := range p.at("targets").list() {
			all[title] = append(all[title], target.at("expr").text())
		}
		if all[title] == nil {
			t.Errorf("panel %q has no query", title)
		}
	}
	return all
}

// podMetrics returns the names of the pod metrics that the HorizontalPodAutoscaler uses.
func podMetrics(t *testing.T) (names []string) {
	t.Helper()
	for _, m := range load(t, "kubernetes/components/podmetrics/hpa.yaml").at("spec", "metrics").list() {
		if m.at("type").text() == "Pods" {
			names = append(names, m.at("pods", "metric", "name").text())
		}
	}
	return names
}

// TestMetricsExist checks that each expression uses metrics of the service, and that each metric of
// the service is used.
func TestMetricsExist(t *testing.T) {
	_, all := gatherMetrics(t)
	known := series(all)
	used := map[string]bool{}
	for location, expr := range expressions(t) {
		t.Run(location, func(t *testing.T) {
			names := metricName.FindAllString(expr, -1)
			if len(names) == 0 {
				t.Errorf("%s uses no metric", expr)
			}
			for _, name := range names {
				if !known[name] {
					t.Errorf("the metric %s does not exist", name)
				}
				used[name] = true
			}
		})
	}
	for name := range all {
		if strings.HasPrefix(name, "proposer_") && !used[name] {
			t.Errorf("%s is used by neither the dashboard nor an alert", name)
		}
	}
}

// TestLabelsExist checks that the expressions match and group by labels that some metric has.
func TestLabelsExist(t *testing.T) {
	_, all := gatherMetrics(t)
	known := map[string]bool{"cluster": true, "namespace": true, "job": true, "instance": true, "le": true}
	for _, f := range all {
		for _, l := range f.GetMetric()[0].GetLabel() {
			known[l.GetName()] = true
		}
	}
	label := regexp.MustCompile(`(?:by|without) \(([^)]*)\)|([a-z_]+)(?:=~|!~|!=|=)"`)
	for location, expr := range expressions(t) {
		t.Run(location, func(t *testing.T) {
			for _, m := range label.FindAllStringSubmatch(expr, -1) {
				for name := range strings.SplitSeq(m[1]+m[2], ",") {
					if name = strings.TrimSpace(name); !known[name] {
						t.Errorf("no metric has a label %q", name)
					}
				}
			}
		})
	}
}

// TestAlerts checks that each alert has a severity, a description, a section in the runbook, and
// unit tests in which it fires and does not fire.
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
		t.Run(name, func(t *testing.T) {
			rule.t = t
			if s := rule.at("labels", "severity").text(); !slices.Contains([]string{"critical", "warning", "info"}, s) {
				t.Errorf("got severity %s, want critical, warning or info", s)
			}
			checkSelectors(t, rule.at("expr").text(), `{job="proposer"`)
			rule.at("annotations", "summary")
			if d := rule.at("annotations", "description").text(); len(d) < 80 {
				t.Errorf("got the description %q, want at least 80 bytes that say what to do", d)
			}
			rule.at("annotations", "runbook_url").checkText("https://github.com/proposer/proposer/blob/main/docs/operations.md#" + strings.ToLower(name))
			if !strings.Contains(runbook, "\n### "+name+"\n") {
				t.Error("docs/operations.md has no section for the alert")
			}
			if !fires[name] {
				t.Error("alerts_test.yml has no test in which the alert fires")
			}
			if !quiet[name] {
				t.Error("alerts_test.yml has no test in which the alert does not fire")
			}
		})
	}
	if n := strings.Count(runbook, "\n### Proposer"); n != len(rules) {
		t.Errorf("docs/operations.md: got sections for %d alerts, want %d", n, len(rules))
	}
}

// checkSelectors checks that each selector of an expression begins with the given matchers, and that no
// aggregation of several instances mixes clusters, namespaces or jobs.
func checkSelectors(t *testing.T, expr, matchers string) {
	t.Helper()
	for _, m := range metricName.FindAllStringIndex(expr, -1) {
		if !strings.HasPrefix(expr[m[1]:], matchers) {
			t.Errorf("%s at byte %d of %s: want %s…}", expr[m[0]:m[1]], m[0], expr, matchers)
		}
	}
	if strings.Contains(matchers, "$") {
		return // the user of the dashboard chooses
	}
	for _, m := range regexp.MustCompile(`\bsum *(\w*) *\(([^)]*)`).FindAllStringSubmatch(expr, -1) {
		if m[1] != "without" && (m[1] != "by" || !strings.HasPrefix(m[2], "cluster, namespace, job")) {
			t.Errorf("%s: got %s, want by (cluster, namespace, job…) or without (…)", expr, m[0])
		}
	}
}

// TestDashboard checks the identifiers, the layout and the variables of the Grafana dashboard.
func TestDashboard(t *testing.T) {
	d := load(t, "grafana/dashboard.json")
	if d.at("uid").text() == "" {
		t.Error("got no uid")
	}
	if len(d.at("links").list()) > 0 || strings.Contains(read(t, "grafana/dashboard.json"), "://") {
		t.Error("got links, want none")
	}
	var variables []string
	for _, v := range d.at("templating", "list").list() {
		variables = append(variables, v.at("name").text())
	}
	ids := map[string]bool{}
	occupied := map[[2]int]string{} // grid cell to title
	for _, p := range d.at("panels").list() {
		title := p.at("title").text()
		t.Run(title, func(t *testing.T) {
			p.t = t
			id := p.at("id").text()
			if ids[id] {
				t.Errorf("got the id %s of another panel", id)
			}
			ids[id] = true
			checkPosition(t, p, title, occupied)
			if p.at("type").text() != "row" {
				checkPanel(t, p, variables)
			}
		})
	}
}

// checkPosition checks that a panel is inside the grid and does not overlap the panels before it.
func checkPosition(t *testing.T, p node, title string, occupied map[[2]int]string) {
	t.Helper()
	var g struct{ X, Y, W, H int }
	position, _ := json.Marshal(p.at("gridPos").value) // cannot fail: the value was decoded from JSON
	if err := json.Unmarshal(position, &g); err != nil || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
		t.Errorf("got position %s (error %v), want one inside the 24 columns", position, err)
	}
	for y := range g.H {
		for x := range g.W {
			cell := [2]int{g.X + x, g.Y + y}
			if other := occupied[cell]; other != "" {
				t.Fatalf("the panel overlaps %q", other)
			}
			occupied[cell] = title
		}
	}
}

// checkPanel checks a panel's description, data sources and queries.
func checkPanel(t *testing.T, p node, variables []string) {
	t.Helper()
	p.at("description")
	p.at("datasource", "uid").checkText("${datasource}")
	refs := map[string]bool{}
	for _, target := range p.at("targets").list() {
		target.at("datasource", "uid").checkText("${datasource}")
		ref := target.at("refId").text()
		if refs[ref] {
			t.Errorf("got two queries with the refId %s", ref)
		}
		refs[ref] = true
		checkSelectors(t, target.at("expr").text(), `{cluster=~"$cluster", namespace=~"$namespace", job=~"$job", instance=~"$instance"`)
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.at("expr").text(), -1) {
			if !strings.HasPrefix(m[1], "__") && !slices.Contains(variables, m[1]) {
				t.Errorf("$%s is not a variable of the dashboard", m[1])
			}
		}
	}
}

// TestMetricsAreDocumented checks that the table of metrics in docs/operations.md matches the metrics
// of the service.
func TestMetricsAreDocumented(t *testing.T) {
	_, all := gatherMetrics(t)
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
		t.Errorf("docs/operations.md does not contain\n%s", table)
	}
}

// imageUser returns the part of the Dockerfile that describes the images of both targets, and the user and
// group of these images.
func imageUser(t *testing.T) (stage, uid, gid string) {
	t.Helper()
	_, stage, _ = strings.Cut(read(t, "../Dockerfile"), "\nFROM scratch AS image\n")
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(stage)
	if user == nil || user[1] == "0" {
		t.Fatalf("Dockerfile: got USER %q, want the number of a user other than root", user)
	}
	return stage, user[1], user[2]
}

// TestDockerfile checks the images of the Dockerfile, and that builders other than BuildKit can build it.
func TestDockerfile(t *testing.T) {
	stage, uid, gid := imageUser(t)
	for _, want := range []string{
		"EXPOSE 8080 9090",
		`CMD ["proposer", "health"]`,
		"STOPSIGNAL SIGTERM",
		`ENTRYPOINT ["proposer"]`,
		`CMD ["serve"]`,
	} {
		t.Run(want, func(t *testing.T) {
			if !strings.Contains(stage, want+"\n") {
				t.Errorf("the images have no %s", want)
			}
		})
	}
	if strings.Contains(stage, "\nRUN ") {
		t.Error("the images have RUN instructions, but no shell to run them")
	}
	stages := regexp.MustCompile(`(?m)^FROM image AS (\w+)$`).FindAllStringSubmatch(stage, -1)
	if len(stages) != 2 || stages[0][1] != "slim" || stages[1][1] != "opencv" {
		t.Errorf("got the targets %q, want slim and then, as the default, opencv", stages)
	}
	for _, feature := range []string{`^#\s*syntax\s*=`, `^(RUN|COPY|ADD) .*--(mount|link|chmod|parents|exclude)\b`, `<<`} {
		if found := regexp.MustCompile("(?m)" + feature).FindString(read(t, "../Dockerfile")); found != "" {
			t.Errorf("%q is a feature of BuildKit alone", found)
		}
	}
	if !strings.Contains(read(t, "../tools/rootfs/main.go"), uid+":"+gid) {
		t.Errorf("tools/rootfs does not write the user %s:%s of the Dockerfile", uid, gid)
	}
}

// TestBuildContext checks that the context of a build has all files that git tracks. Without one the version in the
// image would say that the source was changed.
func TestBuildContext(t *testing.T) {
	git := e2e.Program(t, "git")
	// Patterns without a slash match in all folders here, which is stricter.
	cmd := exec.CommandContext(t.Context(), git, "ls-files", "--cached", "--ignored", "--exclude-from=.dockerignore")
	cmd.Dir = ".."
	excluded, err := cmd.Output()
	if err != nil {
		t.Skip("not in a clone: ", err)
	}
	if len(excluded) > 0 {
		t.Errorf(".dockerignore excludes tracked files:\n%s", excluded)
	}
}

// TestDeployment checks the pod of the Kubernetes deployment: its security settings, its agreement
// with the Dockerfile, and its limits.
func TestDeployment(t *testing.T) {
	_, uid, gid := imageUser(t)
	spec := load(t, "kubernetes/deployment.yaml").at("spec", "template", "spec")
	spec.at("securityContext", "runAsUser").checkText(uid)
	spec.at("securityContext", "runAsGroup").checkText(gid)
	spec.at("securityContext", "fsGroup").checkText(gid)
	spec.at("securityContext", "runAsNonRoot").checkText(true)
	spec.at("securityContext", "seccompProfile", "type").checkText("RuntimeDefault")
	spec.at("automountServiceAccountToken").checkText(false)
	spec.at("enableServiceLinks").checkText(false)

	pod := spec.at("containers", 0)
	pod.at("securityContext", "readOnlyRootFilesystem").checkText(true)
	pod.at("securityContext", "allowPrivilegeEscalation").checkText(false)
	pod.at("securityContext", "capabilities", "drop").checkText("[ALL]")
	pod.at("ports").named("http").at("containerPort").checkText(8080)
	pod.at("ports").named("admin").at("containerPort").checkText(9090)
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		pod.at(probe, "httpGet", "port").checkText("http")
	}
	spec.at("volumes").named("tokens").at("secret", "defaultMode").checkText(0o440)
	mount := pod.at("volumeMounts").named("tokens").at("mountPath").text()
	pod.at("env").named("PROPOSER_TOKENS").at("value").checkText(mount + "/tokens")

	grace, err := time.ParseDuration(pod.at("env").named("PROPOSER_GRACE").at("value").text())
	if err != nil {
		t.Fatal(err)
	}
	sleep := number(pod.at("lifecycle", "preStop", "sleep", "seconds"))
	termination := number(spec.at("terminationGracePeriodSeconds"))
	if want := sleep + int(grace.Seconds()) + 5; termination < want {
		t.Errorf("got terminationGracePeriodSeconds %d, want at least %d", termination, want)
	}

	memory := number(pod.at("resources", "limits", "memory"))
	pod.at("resources", "requests", "memory").checkText(pod.at("resources", "limits", "memory").text())
	pod.at("env").named("GOMEMLIMIT").at("value").checkText(fmt.Sprintf("%dMiB", memory*1024*7/8))
	pixels := number(pod.at("env").named("PROPOSER_MAX_PIXELS").at("value"))
	for _, m := range load(t, "kubernetes/components/podmetrics/hpa.yaml").at("spec", "metrics").list() {
		if m.at("type").text() == "Pods" && m.at("pods", "metric", "name").text() == "proposer_work_pixels" {
			m.at("pods", "target", "averageValue").checkText(fmt.Sprint(pixels/2/1_000_000, "M"))
		}
	}
}

// TestCompose checks the services of compose and the configuration of Prometheus and Grafana.
func TestCompose(t *testing.T) {
	compose := load(t, "compose.yml")
	exactVersion := regexp.MustCompile(`:-[a-z/]+:v?\d+\.\d+\.\d+\}$`)
	for name, value := range compose.at("services").value.(map[string]any) {
		t.Run(name, func(t *testing.T) {
			s := node{t, name, value}
			s.at("cap_drop").checkText("[ALL]")
			s.at("security_opt").checkText("[no-new-privileges:true]")
			if name != "proposer" && !exactVersion.MatchString(s.at("image").text()) {
				t.Errorf("got image %s, want an exact version", s.at("image").text())
			}
		})
	}

	service := compose.at("services", "proposer")
	service.at("ports").checkText("[8080:8080]")
	service.at("read_only").checkText(true)
	service.at("healthcheck", "test").checkText("[CMD proposer health]")
	scrape := load(t, "prometheus.yml").at("scrape_configs", 0, "static_configs", 0, "targets", 0)
	scrape.checkText("proposer" + service.at("environment", "PROPOSER_ADMIN_ADDR").text())
	stop, err := time.ParseDuration(service.at("stop_grace_period").text())
	if want := api.DefaultConfig().ShutdownTimeout + 5*time.Second; err != nil || stop < want {
		t.Errorf("got stop_grace_period %v (error %v), want at least %v", stop, err, want)
	}

	for _, name := range []string{"prometheus", "grafana"} {
		for _, v := range compose.at("services", name, "volumes").list() {
			if source, _, _ := strings.Cut(v.text(), ":"); strings.HasPrefix(source, ".") {
				if _, err := os.Stat(source); err != nil {
					t.Errorf("volume of %s: %v", name, err)
				}
			}
		}
	}
	source := load(t, "grafana/provisioning/datasources/prometheus.yml").at("datasources", 0)
	source.at("url").checkText("http://prometheus:9090")
	source.at("jsonData", "timeInterval").checkText(load(t, "prometheus.yml").at("global", "scrape_interval").text())
}

// number returns the value as an integer, without a unit Gi.
func number(n node) int {
	n.t.Helper()
	v, err := strconv.Atoi(strings.TrimSuffix(n.text(), "Gi"))
	if err != nil {
		n.t.Fatalf("%s: got %v, want an integer: %v", n.path, n.value, err)
	}
	return v
}

// TestKubernetes checks that the Kubernetes manifests refer to each other correctly.
func TestKubernetes(t *testing.T) {
	const label = "app.kubernetes.io/name"
	const monitoring = "kubernetes/components/monitoring/"
	labels := map[string]any{label: "proposer"}
	load(t, "kubernetes/deployment.yaml").at("spec", "selector", "matchLabels").checkText(labels)
	load(t, "kubernetes/deployment.yaml").at("spec", "template", "metadata", "labels").checkText(labels)
	load(t, "kubernetes/service.yaml").at("spec", "selector").checkText(labels)
	load(t, "kubernetes/pdb.yaml").at("spec", "selector", "matchLabels").checkText(labels)
	load(t, "kubernetes/networkpolicy.yaml").at("spec", "podSelector", "matchLabels").checkText(labels)
	load(t, monitoring+"podmonitor.yaml").at("spec", "selector", "matchLabels").checkText(labels)
	relabeling := load(t, monitoring+"podmonitor.yaml").at("spec", "podMetricsEndpoints", 0, "relabelings", 0)
	relabeling.checkText(map[string]any{"targetLabel": "job", "replacement": "proposer"})
	load(t, monitoring+"podmonitor.yaml").at("spec", "podMetricsEndpoints", 0, "port").checkText("admin")
	load(t, "kubernetes/service.yaml").at("spec", "ports", 0, "targetPort").checkText("http")
	rule := "# The alerts of docker/alerts.yml: go test ./docker -run Kubernetes -update writes this file.\n" +
		"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: proposer\nspec:\n" +
		regexp.MustCompile("(?m)^(.)").ReplaceAllString(read(t, "alerts.yml"), "  $1")
	golden.Equal(t, monitoring+"prometheusrule.yaml", []byte(rule))
	cpu := load(t, "kubernetes/hpa.yaml").at("spec", "metrics")
	if len(cpu.list()) != 1 {
		t.Errorf("got the metrics %v, want processor time alone: while a metric is missing, no pod is removed", cpu.value)
	}
	load(t, "kubernetes/components/podmetrics/hpa.yaml").at("spec", "metrics", 0).checkText(cpu.at(0).text())
	target := load(t, "kubernetes/hpa.yaml").at("spec", "scaleTargetRef")
	target.at("name").checkText(load(t, "kubernetes/deployment.yaml").at("metadata", "name").text())

	// The kustomization lists all manifests.
	listed := read(t, "kubernetes/kustomization.yaml")
	all, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		name = filepath.Base(name)
		if name == "kustomization.yaml" {
			continue
		}
		if !strings.Contains(listed, "- "+name) {
			t.Errorf("kustomization.yaml does not list %s", name)
		}
	}
	for _, r := range load(t, "kubernetes/kustomization.yaml").at("resources").list() {
		if !slices.Contains(all, "kubernetes/"+r.text()) {
			t.Errorf("kustomization.yaml lists %s, which does not exist", r.text())
		}
	}

	// The adapter provides the metrics that the autoscaler uses.
	query := load(t, "prometheus-adapter.yml").at("rules", 0, "seriesQuery").text()
	m := regexp.MustCompile(`__name__=~"([^"]+)"`).FindStringSubmatch(query)
	if m == nil {
		t.Fatalf("got the seriesQuery %s, want a pattern of __name__", query)
	}
	names := podMetrics(t)
	if len(names) == 0 {
		t.Error("the autoscaler uses no pod metrics")
	}
	for _, name := range names {
		if !regexp.MustCompile(m[1]).MatchString(name) {
			t.Errorf("the adapter does not provide %s", name)
		}
	}
}

// TestPromtool checks the configuration, the rules and the metrics with promtool, and runs the unit
// tests of the rules.
func TestPromtool(t *testing.T) {
	promtool := e2e.Program(t, "promtool")
	server, _ := gatherMetrics(t)
	metrics := httptest.NewRecorder()
	server.Admin().ServeHTTP(metrics, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if metrics.Code != http.StatusOK || !strings.Contains(metrics.Body.String(), "proposer_pictures_total{") {
		t.Fatalf("got status %d %s, want %d with proposer_pictures_total", metrics.Code, metrics.Body, http.StatusOK)
	}
	for _, c := range []struct {
		args  string
		stdin io.Reader
	}{
		{"check config prometheus.yml", nil},
		{"check rules alerts.yml", nil},
		{"test rules alerts_test.yml", nil},
		{"check metrics", metrics.Body},
	} {
		t.Run(c.args, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), promtool, strings.Fields(c.args)...)
			cmd.Stdin = c.stdin
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
