package controlplane

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// defineResources defines the custom resources that the manifests use, from the files of the modules
// that implement them. They stay defined for other tests.
func defineResources(n *namespace) {
	n.Helper()
	for _, d := range []struct{ module, sum, folder, kinds string }{
		{
			"github.com/prometheus-operator/prometheus-operator@v0.83.0", "h1:qAKbm+45fqNGcn9sGTa1Ae2TM3KZuYA/uyoD2QKi9+o=",
			"example/prometheus-operator-crd/monitoring.coreos.com_", "podmonitors prometheusrules servicemonitors",
		},
		{
			"sigs.k8s.io/gateway-api@v1.3.0", "h1:q6okN+/UKDATola4JY7zXzx40WO4VISk7i9DIfOvr9M=",
			"config/crd/standard/gateway.networking.k8s.io_", "gatewayclasses gateways grpcroutes httproutes",
		},
		{
			"github.com/kserve/kserve@v0.15.2", "h1:uph7Umk331fvBMrHHpTJNDt6+lf3IAuyiskaQw8wIAk=",
			"config/crd/full/serving.kserve.io_", "inferenceservices servingruntimes",
		},
		{
			"github.com/cert-manager/cert-manager@v1.17.2", "h1:QQYTEOsHf/Z3BFzKH2sIILHJwZA5Ut0LYZlHyNViupg=",
			"deploy/crds/crd-", "certificates",
		},
	} {
		// In a folder of no module: their requirements are not those of the tests.
		download := exec.CommandContext(n.Context(), "go", "mod", "download", "-json", d.module)
		download.Dir = n.TempDir()
		out, err := download.Output()
		var module struct{ Dir, Sum, Error string }
		if jsonErr := json.Unmarshal(out, &module); jsonErr != nil || module.Sum != d.sum {
			n.Fatalf("%s: got sum %q, want %s (%s, %v, %v)", d.module, module.Sum, d.sum, module.Error, err, jsonErr)
		}
		for kind := range strings.FieldsSeq(d.kinds) {
			// Lines with {{ are for Helm: labels and comments of cert-manager.
			n.must("sed '/{{/d' " + module.Dir + "/" + d.folder + kind + ".yaml | kubectl apply --server-side -f -")
		}
	}
	// kubectl wait fails while an object has no conditions.
	n.eventually("kubectl wait --for=condition=established --timeout=10s customresourcedefinitions --all")
}

// TestCustomResources applies the objects for the Prometheus operator and for KServe.
func TestCustomResources(t *testing.T) {
	n := newNamespace(t)
	defineResources(n)
	const apply = "kubectl apply --server-side --validate=strict --warnings-as-errors -f "

	t.Run("PodMonitor", func(t *testing.T) {
		n := n.in(t)
		n.must(apply + "docker/kubernetes/components/monitoring/podmonitor.yaml")
		manifest, err := os.ReadFile(root + "docker/kubernetes/components/monitoring/podmonitor.yaml")
		if err != nil {
			t.Fatal(err)
		}
		n.refused(apply+n.file(strings.Replace(string(manifest), "path:", "paths:", 1)), ".spec.podMetricsEndpoints[0].paths: field not declared in schema")
	})

	t.Run("KServe", func(t *testing.T) {
		n := n.in(t)
		const apply = "kubectl apply --server-side --validate=strict --warnings-as-errors "
		n.must(apply + "-k docker/kserve")
		n.must(apply + "--force-conflicts --dry-run=server -f docker/kserve/serverless.yaml")
		manifest, err := os.ReadFile(root + "docker/kserve/servingruntime.yaml")
		if err != nil {
			t.Fatal(err)
		}
		n.refused(apply+"-f "+n.file(strings.Replace(string(manifest), "autoSelect:", "autoselect:", 1)), ".spec.supportedModelFormats[0].autoselect: field not declared in schema")
	})
	t.Run("PrometheusRule", func(t *testing.T) {
		n.in(t).must(apply + "docker/kubernetes/components/monitoring/prometheusrule.yaml")
	})
}
