package chart

import (
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"
)

// TestRefused checks what users see of invalid values.
func TestRefused(t *testing.T) {
	for _, test := range []struct{ name, values, want string }{
		{"typo", "{replica: 3}", "at '': additional properties 'replica' not allowed"},
		{"typo in a section", "{tls: {enable: true}}", "at '/tls': additional properties 'enable' not allowed"},
		{"typo in a setting", "{settings: {wrokers: 3}}", "at '/settings': additional properties 'wrokers' not allowed"},
		{"setting of the chart", "{settings: {tokens: x}}", "at '/settings': additional properties 'tokens' not allowed"},
		{"setting out of range", "{settings: {workers: 4096}}", "at '/settings/workers': maximum: got 4,096, want 1,024"},
		{"setting of another type", "{settings: {max-pixels: many}}", "at '/settings/max-pixels': got string, want integer"},
		{"size", "{settings: {cache: 1Gi}}", "at '/settings/cache': '1Gi' does not match pattern"},
		{"time", "{settings: {grace: 30}}", "at '/settings/grace': got number, want string"},
		{"variant", "{image: {variant: alpine}}", "at '/image/variant': value must be one of 'opencv', 'slim'"},
		{"memory", "{resources: {limits: {memory: 4GiB}}}", "at '/resources/limits/memory': '4GiB' does not match pattern"},
		{"requests", "{resources: {limits: {memory: 2Gi}}}", "resources: the request of memory is 4Gi, the limit 2Gi: want a request of no more than the limit"},
		{"requests of the batch job", "{batch: {enabled: true, resources: {limits: {cpu: 500m}}}}", "batch.resources: the request of cpu is 4, the limit 500m"},
		{"null", "{commonLabels: null}", "at '': missing property 'commonLabels'"},
		{"token", "{tokens: {values: {ci: short}}}", "at '/tokens/values/ci': minLength: got 5, want 16"},
		{"two token secrets", "{tokens: {existingSecret: a, values: {ci: 0123456789abcdef}}}", "tokens: want existingSecret or values, not both"},
		{"replicas", "{autoscaling: {minReplicas: 11}}", "autoscaling: minReplicas is 11, maxReplicas 10: want no less than minReplicas"},
		{"setting as a variable", "{extraEnv: [{name: PROPOSER_CACHE, value: x}]}", "extraEnv: PROPOSER_CACHE is a setting: want it in settings"},
		{"shared host name", "{grpc: {enabled: true}, gateway: {enabled: true, parentRefs: [{name: a}], hostnames: [a.test], grpcHostnames: [a.test]}}", "gateway: a.test is in hostnames and in grpcHostnames"},
		{"routes of gRPC", "{gateway: {enabled: true, parentRefs: [{name: a}], grpcHostnames: [a.test]}}", "gateway: grpcHostnames needs grpc.enabled"},
		{"no gateway", "{gateway: {enabled: true}}", "at '/gateway/parentRefs': minItems: got 0, want 1"},
		{"no host", "{ingress: {enabled: true}}", "at '/ingress/hosts': minItems: got 0, want 1"},
		{"no model", "{ranker: {volume: {configMap: {name: a}}}}", "at '/ranker/file': minLength: got 0, want 1"},
		{"no issuer", "{tls: {enabled: true, certManager: {enabled: true}}}", "at '/tls/certManager/issuerRef': missing property 'name'"},
		{"certificate without TLS", "{tls: {certManager: {enabled: true, issuerRef: {name: ca}}}}", "at '/tls/enabled': value must be true"},
		{"HTTP/2 without TLS", "{tls: {enabled: true}, settings: {h2c: true}}", "settings: h2c cannot be combined with tls.enabled"},
		{"shared port", "{grpc: {port: 9090}}", "at '/grpc/port': 'not' failed"},
		{"claim", "{batch: {enabled: true, sourceClaim: ''}}", "batch: source is /pictures: want sourceClaim, or a bucket"},
		{"output", "{batch: {enabled: true, outClaim: ''}}", "batch: out is /boxes: want outClaim, or a bucket"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := render(t, load(t), values(t, test.values))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

// TestKubeVersion checks that old versions of Kubernetes are refused, and vendors' versions of new ones are not.
func TestKubeVersion(t *testing.T) {
	for version, want := range map[string]bool{"v1.29.9": false, "v1.30.0": true, "v1.30.4-gke.100": true, "v1.36.0": true} {
		if got := chartutil.IsCompatibleRange(load(t).Metadata.KubeVersion, version); got != want {
			t.Errorf("%s: compatible is %v, want %v", version, got, want)
		}
	}
}

// container returns the service's container of a Deployment, and its pod.
func container(t testing.TB, objects map[string]object) (c, pod object) {
	t.Helper()
	pod, _, err := unstructured.NestedMap(objects["Deployment proposer"], "spec", "template", "spec")
	if err != nil {
		t.Fatal(err)
	}
	return pod["containers"].([]any)[0].(object), pod
}

func env(c object, name string) string {
	for _, e := range c["env"].([]any) {
		if e := e.(object); e["name"] == name {
			return fmt.Sprint(e["value"])
		}
	}
	return ""
}

// TestMemory checks GOMEMLIMIT for quantities of every form.
func TestMemory(t *testing.T) {
	for memory, want := range map[string]string{
		"4Gi": "3584MiB", "512Mi": "448MiB", "3500M": "2920MiB", "1.5Gi": "1344MiB", "4294967296": "3584MiB", `"4294967296"`: "3584MiB",
		"4e9": "3337MiB", "1T": "834465MiB", "4294967296000m": "3584MiB", "8388608Ki": "7168MiB", "null": "",
	} {
		c, _ := container(t, first(manifests(t, load(t), values(t, "{resources: {requests: {memory: 1Mi}, limits: {memory: "+memory+"}}}"))))
		if got := env(c, "GOMEMLIMIT"); got != want {
			t.Errorf("%s: got %s, want %s", memory, got, want)
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

// TestGrace checks that a pod has time for the requests it has admitted.
func TestGrace(t *testing.T) {
	for grace, want := range map[string]int64{"30s": 50, "1m30s": 110, "1.5h": 5420, "500ms": 21, "0s": 20, "24h": 86420} {
		_, pod := container(t, first(manifests(t, load(t), values(t, "{settings: {grace: "+grace+"}}"))))
		if got := pod["terminationGracePeriodSeconds"]; got != want {
			t.Errorf("%s: got %v, want %d", grace, got, want)
		}
	}
}

// TestRestart checks that a change of tokens, or of a setting, changes the pods, and that nothing else does.
func TestRestart(t *testing.T) {
	template := func(text string) string {
		o := first(manifests(t, load(t), values(t, text)))["Deployment proposer"]
		return fmt.Sprint(o["spec"].(object)["template"])
	}
	before := template("{tokens: {values: {ci: 0123456789abcdef}}}")
	for text, want := range map[string]bool{
		"{tokens: {values: {ci: 0123456789abcdeg}}}":                                             true,
		"{tokens: {values: {ci: 0123456789abcdef}}, settings: {cache: 0}}":                       true,
		"{tokens: {values: {ci: 0123456789abcdef}}, autoscaling: {maxReplicas: 3}}":              false,
		"{tokens: {values: {ci: 0123456789abcdef}}, prometheusRule: {enabled: true}}":            false,
		"{tokens: {values: {ci: 0123456789abcdef}}, service: {annotations: {example.com/a: b}}}": false,
	} {
		if got := template(text) != before; got != want {
			t.Errorf("%s: the pods change is %v, want %v", text, got, want)
		}
	}
}

// TestBatchName checks that a Job, which is immutable, gets another name with each change.
func TestBatchName(t *testing.T) {
	jobs := map[string]string{}
	for _, text := range []string{"", "shards: 9", "args: [--max=10]", "resources: {limits: {memory: 8Gi}}", "ttlSecondsAfterFinished: 60"} {
		for name, content := range jobsOf(manifests(t, load(t), values(t, "{serve: {enabled: false}, batch: {enabled: true, "+text+"}}"))) {
			if other, ok := jobs[name]; ok && other != content {
				t.Errorf("%s: another Job has the name %s", text, name)
			}
			jobs[name] = content
		}
	}
	if len(jobs) != 10 {
		t.Errorf("got %d names, want 10", len(jobs))
	}
}

// jobsOf returns the documents of Jobs by their names.
func jobsOf(_ map[string]object, text string) map[string]string {
	jobs := map[string]string{}
	for _, d := range strings.Split(text, "---\n")[1:] {
		if !strings.Contains(d, "\nkind: Job\n") {
			continue
		}
		_, after, _ := strings.Cut(d, "\n  name: ")
		name, _, _ := strings.Cut(after, "\n")
		jobs[name] = d
	}
	return jobs
}

// TestNotes checks what users read after an installation.
func TestNotes(t *testing.T) {
	for _, test := range []struct{ values, want string }{
		{"", "kubectl --namespace images create secret generic proposer-tokens --from-file=tokens"},
		{"{tokens: {enabled: false}}", "WARNING: without tokens, everyone"},
		{"{tls: {enabled: true}}", "https://proposer.images:443\n"},
		{"{batch: {enabled: true}}", "kubectl --namespace images wait --for=condition=complete --timeout=30s job/proposer-batch-"},
		{"{batch: {enabled: true, suspend: true}}", "wait --for=condition=Suspended=false job/proposer-batch-"},
	} {
		files, err := render(t, load(t), values(t, test.values))
		if err != nil {
			t.Fatal(err)
		}
		if notes := files["proposer/templates/NOTES.txt"]; !strings.Contains(notes, test.want) {
			t.Errorf("%s: got notes\n%s\nwant %q in them", test.values, notes, test.want)
		}
	}
}

// TestAnyValues checks that valid values give valid objects, with pods that Pod Security admits.
func TestAnyValues(t *testing.T) {
	c := load(t)
	rapid.Check(t, func(r *rapid.T) {
		boolean := rapid.Bool()
		text := rapid.StringMatching("[a-z][a-z0-9]{0,20}")
		labels := rapid.MapOfN(rapid.StringMatching("[a-z]{1,8}(\\.test/[a-z]{1,8})?"), rapid.SampledFrom([]string{"true", "1", "a-b", "", "1e3", "null", "x_y"}), 0, 3)
		set := func(m object, key string, g func() any) {
			if boolean.Draw(r, "set "+key) {
				m[key] = g()
			}
		}
		some := func(options ...any) func() any {
			return func() any { return rapid.SampledFrom(options).Draw(r, "value") }
		}
		memory := some("4Gi", "4096Mi", "4500M", int64(1<<32), "16e9", "1.5Ti")
		settings := object{}
		set(settings, "max-pixels", some(int64(1), int64(268435455), int64(12000000)))
		set(settings, "work-pixels", some("auto", int64(1), int64(1<<40)))
		set(settings, "cache", some(int64(0), "1TiB", int64(1<<40)))
		set(settings, "grace", some("0s", "1h2m3.5s", "250ms"))
		set(settings, "cors-origin", some("*", []any{"https://a.test", "https://b.test"}, []any{}))
		resources := object{}
		set(resources, "limits", func() any { return object{"memory": memory(), "cpu": 4.5} })
		set(resources, "requests", func() any { return object{"memory": "100Mi", "cpu": "100m"} })
		v := object{"settings": settings, "resources": resources}
		set(v, "commonLabels", func() any { return anyMap(labels.Draw(r, "labels")) })
		set(v, "commonAnnotations", func() any { return anyMap(labels.Draw(r, "annotations")) })
		set(v, "podLabels", func() any { return anyMap(labels.Draw(r, "pod labels")) })
		set(v, "podAnnotations", func() any { return anyMap(labels.Draw(r, "pod annotations")) })
		set(v, "nameOverride", func() any { return text.Draw(r, "name") })
		set(v, "fullnameOverride", func() any { return text.Draw(r, "full name") })
		set(v, "priorityClassName", func() any { return text.Draw(r, "class") })
		set(v, "image", func() any {
			return object{"variant": some("slim", "opencv")(), "tag": some("", "1", "1.2", "v1.2.3")(), "pullSecrets": some([]any{}, []any{"a", "1"})()}
		})
		tls := boolean.Draw(r, "TLS")
		v["tls"] = object{"enabled": tls, "certManager": object{"enabled": tls, "issuerRef": object{"name": "1"}}}
		for _, key := range []string{"serve", "grpc", "autoscaling", "pdb", "networkPolicy", "podMonitor", "prometheusRule", "dashboard"} {
			set(v, key, func() any { return object{"enabled": boolean.Draw(r, key)} })
		}
		set(v, "tokens", func() any {
			return object{"enabled": boolean.Draw(r, "tokens"), "values": anyMap(rapid.MapOfN(rapid.StringMatching("[A-Za-z0-9._-]{1,64}"), rapid.StringMatching("[!-~]{16,40}"), 0, 3).Draw(r, "values"))}
		})
		set(v, "ranker", func() any {
			return object{"volume": some(object{}, object{"secret": object{"secretName": "a"}})(), "file": "a/b.model"}
		})
		set(v, "ingress", func() any { return object{"enabled": true, "hosts": []any{"*.a.test", "b.test"}} })
		set(v, "gateway", func() any { return object{"enabled": true, "parentRefs": []any{object{"name": "a"}}} })
		set(v, "topologySpreadConstraints", some([]any{}))
		set(v, "batch", func() any {
			return object{
				"enabled": true, "shards": some(int64(1), int64(100000))(), "parallelism": some(nil, int64(3))(), "out": "s3://a/b",
				"outClaim": some("", "boxes")(), "args": some([]any{}, []any{"--max=10", "a b: {{c}}", `"'`})(), "resources": resources, "credentialsSecret": some("", "1")(),
			}
		})
		objects, _ := manifests(t, c, v)
		for id, o := range objects {
			restricted(t, id, o)
		}
	})
}

func anyMap(m map[string]string) object {
	o := object{}
	for k, v := range m {
		o[k] = v
	}
	return o
}
