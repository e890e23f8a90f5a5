// Package chart tests the Helm chart.
package chart

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const dir = "../../docker/helm/proposer"

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetOutput(io.Discard) // Helm reports symbolic links
	os.Exit(m.Run())
}

type object = map[string]any

func load(t testing.TB) *chart.Chart {
	t.Helper()
	c, err := loader.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// values returns the values that a file such as one of ci/ or a test's text has.
func values(t testing.TB, text string) object {
	t.Helper()
	v := object{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// render renders the chart as helm template does.
func render(t testing.TB, c *chart.Chart, v object) (map[string]string, error) {
	t.Helper()
	options := chartutil.ReleaseOptions{Name: "proposer", Namespace: "images", Revision: 1, IsInstall: true}
	v, err := chartutil.ToRenderValues(c, v, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, v)
}

// manifests returns the rendered objects by kind and name, and their documents in a fixed order.
func manifests(t testing.TB, c *chart.Chart, v object) (map[string]object, string) {
	t.Helper()
	files, err := render(t, c, v)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]object{}
	text := ""
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		documents := releaseutil.SplitManifests(files[name])
		keys := slices.Collect(maps.Keys(documents))
		sort.Sort(releaseutil.BySplitManifestsOrder(keys))
		for _, key := range keys {
			text += "---\n# " + strings.TrimPrefix(name, "proposer/") + "\n" + strings.TrimSpace(documents[key]) + "\n"
			o := decode(t, []byte(documents[key]))
			objects[id(o)] = o
		}
	}
	return objects, text
}

// id returns the kind and the name of an object, without the part of a batch job's that depends on its values.
func id(o object) string {
	name, _, _ := unstructured.NestedString(o, "metadata", "name")
	return fmt.Sprint(o["kind"], " ", hash.ReplaceAllString(name, "proposer-$1"))
}

var hash = regexp.MustCompile("^proposer-batch-[0-9a-f]{8}(?:-(merge))?$")

// decode decodes an object, strictly if it is Kubernetes' own, with quantities in their shortest form.
func decode(t testing.TB, document []byte) object {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	typed, _, err := strict.Decode(data, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		o := object{}
		if err := json.Unmarshal(data, &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestKustomization checks that the chart with its default values is the kustomizations, except for the names of the batch
// jobs and for labels.
func TestKustomization(t *testing.T) {
	for _, test := range []struct{ name, kustomization, values string }{
		{"service", "{resources: [kubernetes]}", ""},
		{
			"components", "{resources: [kubernetes], components: [kubernetes/components/tls, kubernetes/components/grpc, kubernetes/components/monitoring, kubernetes/components/podmetrics], " +
				`patches: [{target: {kind: Service}, patch: '[{"op": "replace", "path": "/spec/ports/1/appProtocol", "value": "https"}]'}]}`,
			"{autoscaling: {podMetrics: true}, tls: {enabled: true}, grpc: {enabled: true}, podMonitor: {enabled: true}, prometheusRule: {enabled: true}}",
		},
		{"batch", "{resources: [kubernetes/batch]}", "{serve: {enabled: false}, batch: {enabled: true}}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := values(t, test.values)
			v["image"] = object{"repository": "registry.example.com/proposer", "tag": "v1"}
			got, _ := manifests(t, load(t), v)
			want := map[string]object{}
			folder, err := filepath.Abs("../../docker")
			if err != nil {
				t.Fatal(err)
			}
			overlay, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			up, err := filepath.Rel(overlay, folder)
			if err != nil {
				t.Fatal(err)
			}
			kustomization := strings.ReplaceAll(test.kustomization, "kubernetes", up+"/kubernetes")
			if err := os.WriteFile(overlay+"/kustomization.yaml", []byte(kustomization), 0o666); err != nil {
				t.Fatal(err)
			}
			resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
			if err != nil {
				t.Fatal(err)
			}
			for _, rule := range alerts(t, got) { // the chart's are those of one release
				expr, _, _ := unstructured.NestedString(rule, "expr")
				rule["expr"] = strings.ReplaceAll(expr, `{namespace="images",job="proposer"`, `{job="proposer"`)
			}
			for _, r := range resources.Resources() {
				o := decode(t, []byte(r.MustYaml()))
				want[strings.Replace(id(o), "Job proposer-batch", "Job proposer-", 1)] = o
			}
			delete(got, "Pod proposer-test")
			for _, objects := range []map[string]object{got, want} {
				for _, o := range objects {
					normalize(o)
					metadata := o["metadata"].(object)
					delete(metadata, "labels")
					delete(metadata, "name")
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-kustomization +chart:\n%s", diff)
			}
		})
	}
}

// alerts returns the alerts of all objects.
func alerts(t testing.TB, objects map[string]object) (all []object) {
	t.Helper()
	for _, o := range objects {
		if o["kind"] != "PrometheusRule" {
			continue
		}
		groups, _, err := unstructured.NestedSlice(o, "spec", "groups")
		if err != nil || len(groups) == 0 {
			t.Fatalf("got the groups %v (error %v), want some", groups, err)
		}
		for _, group := range o["spec"].(object)["groups"].([]any) {
			for _, rule := range group.(object)["rules"].([]any) {
				all = append(all, rule.(object))
			}
		}
	}
	return all
}

// TestAlertsOfRelease checks that the alerts of a release select its job and namespace, the ones that its PodMonitor
// and Prometheus give its series, and nothing else.
func TestAlertsOfRelease(t *testing.T) {
	got, _ := manifests(t, load(t), values(t, "{fullnameOverride: boxes, podMonitor: {enabled: true}, prometheusRule: {enabled: true}}"))
	endpoints, _, err := unstructured.NestedSlice(got["PodMonitor boxes"], "spec", "podMetricsEndpoints")
	if err != nil || len(endpoints) != 1 {
		t.Fatalf("got the endpoints %v (error %v) of the PodMonitor, want one", endpoints, err)
	}
	want := []any{object{"targetLabel": "job", "replacement": "boxes"}}
	if diff := cmp.Diff(want, endpoints[0].(object)["relabelings"]); diff != "" {
		t.Errorf("relabelings: -want +got:\n%s", diff)
	}
	rules := alerts(t, got)
	if len(rules) == 0 {
		t.Fatal("got no alerts")
	}
	for _, rule := range rules {
		expr := rule["expr"].(string)
		if n := strings.Count(expr, "{"); n == 0 || strings.Count(expr, `{namespace="images",job="boxes"`) != n {
			t.Errorf("%s: got %s, want namespace images and job boxes in every selector", rule["alert"], expr)
		}
		summary, _, _ := unstructured.NestedString(rule, "annotations", "summary")
		if strings.Contains(expr, "sum without") && !strings.Contains(summary, "{{ $labels.instance }}") {
			t.Errorf("%s: got the summary %s, want Prometheus's templates as they are", rule["alert"], summary)
		}
	}
}

// normalize removes the label of the release and the default protocol, and sorts environment variables.
func normalize(v any) {
	switch v := v.(type) {
	case object:
		delete(v, "app.kubernetes.io/instance")
		if v["protocol"] == "TCP" {
			delete(v, "protocol")
		}
		if env, ok := v["env"].([]any); ok {
			slices.SortFunc(env, func(a, b any) int { return strings.Compare(a.(object)["name"].(string), b.(object)["name"].(string)) })
		}
		for _, e := range v {
			normalize(e)
		}
	case []any:
		for _, e := range v {
			normalize(e)
		}
	}
}

// TestLint lints the chart with each of ci/*.yaml.
func TestLint(t *testing.T) {
	for _, name := range sets(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			v := values(t, read(t, name))
			result := lint.AllWithKubeVersion(dir, v, "images", nil)
			for _, m := range result.Messages {
				if m.Severity > support.InfoSev {
					t.Error(m)
				}
			}
		})
	}
}

// sets returns the files of values that each enable some features.
func sets(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(dir + "/ci/*-values.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no files of values in ci: ", err)
	}
	return names
}

// TestGolden compares what the chart renders with each of ci/*.yaml.
func TestGolden(t *testing.T) {
	for _, name := range sets(t) {
		base := strings.TrimSuffix(filepath.Base(name), "-values.yaml")
		t.Run(base, func(t *testing.T) {
			objects, text := manifests(t, load(t), values(t, read(t, name)))
			for id, o := range objects {
				restricted(t, id, o)
			}
			golden := "testdata/" + base + ".yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(read(t, golden), text); diff != "" {
				t.Errorf("-%s +rendered:\n%s", golden, diff)
			}
			if _, again := manifests(t, load(t), values(t, read(t, name))); again != text {
				t.Error("rendered twice: the documents differ")
			}
		})
	}
}

// restricted checks the pods of an object against the level restricted of PodSecurity.
func restricted(t testing.TB, id string, o object) {
	t.Helper()
	path := []string{"spec", "template", "spec"}
	switch o["kind"] {
	case "Pod":
		path = path[:1]
	case "Deployment", "Job":
	default:
		return
	}
	var pod corev1.PodSpec
	spec, _, err := unstructured.NestedMap(o, path...)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &pod)
	}
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range evaluator.EvaluatePod(level, &metav1.ObjectMeta{}, &pod) {
		if !r.Allowed {
			t.Errorf("%s: %s: %s", id, r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
}

// TestPackage checks that a package has no links and nothing but the chart.
func TestPackage(t *testing.T) {
	name, err := chartutil.Save(load(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range c.Files {
		got[f.Name] = string(f.Data)
	}
	for name, source := range map[string]string{"files/alerts.yml": "alerts.yml", "files/dashboard.json": "grafana/dashboard.json", "README.md": "helm/proposer/README.md"} {
		if got[name] != read(t, "../../docker/"+source) {
			t.Errorf("%s of the package is not docker/%s", name, source)
		}
		delete(got, name)
	}
	delete(got, ".helmignore")
	if len(got) > 0 {
		t.Errorf("the package also has %v", slices.Sorted(maps.Keys(got)))
	}
}
