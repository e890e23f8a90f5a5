package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKustomizations applies the kustomizations as their comments say, without a warning, and again
// without a change.
func TestKustomizations(t *testing.T) {
	for name, pods := range map[string]int{"kubernetes": 2, "kubernetes/batch": 8} {
		t.Run(name, func(t *testing.T) {
			n := newNamespace(t)
			n.must("kubectl apply --server-side --dry-run=server --validate=strict --warnings-as-errors -k docker/" + name)
			n.must("kubectl apply --warnings-as-errors -k docker/" + name)
			n.until(fmt.Sprint(pods, " pods exist"), func(ctx context.Context) (bool, error) {
				all, err := client.CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{})
				return err == nil && len(all.Items) == pods, err
			})

			n.must("kubectl diff -k docker/" + name)
			for line := range strings.Lines(n.must("kubectl apply -k docker/" + name)) {
				// kubectl sends the selector of a PodDisruptionBudget with every patch.
				if !strings.HasSuffix(line, " unchanged\n") && !strings.HasPrefix(line, "poddisruptionbudget") {
					t.Errorf("applied twice: got %swant no change", line)
				}
			}
			// Another manager of the same fields: a conflict means that the API server stores a value in another form.
			n.must("kubectl apply --server-side --field-manager=other -k docker/" + name)
		})
	}
}

// TestComponents applies the service with its components, each alone and all together.
func TestComponents(t *testing.T) {
	n := newNamespace(t)
	defineResources(n)
	dir := n.TempDir()
	kubernetes, err := filepath.Abs(root + "docker/kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	if kubernetes, err = filepath.Rel(dir, kubernetes); err != nil { // kustomize refuses absolute paths
		t.Fatal(err)
	}
	for _, test := range []struct {
		folder, components string
		want               []string
	}{
		{"", "monitoring", []string{"kind: PodMonitor", "kind: PrometheusRule"}},
		{"", "podmetrics", []string{"averageUtilization: 120", "name: proposer_queue_depth", "scaleDown:"}},
		{"", "tls", []string{"scheme: HTTPS", "port: 443", "value: /etc/proposer-tls/tls.crt"}},
		{"", "grpc", []string{"containerPort: 8081", "targetPort: grpc", "port: grpc"}},
		{"", "monitoring podmetrics tls grpc", []string{"kind: PodMonitor", "port: 443", "targetPort: grpc"}},
		{"/batch", "bucket", []string{"s3://pictures?region=us-east-1", "--out=s3://boxes?region=us-east-1", "serviceAccountName: proposer-batch"}},
	} {
		t.Run(test.components, func(t *testing.T) {
			n := n.in(t)
			folder := kubernetes + test.folder
			overlay := "resources: [" + folder + "]\ncomponents:\n"
			for c := range strings.FieldsSeq(test.components) {
				overlay += "  - " + folder + "/components/" + c + "\n"
			}
			if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
				t.Fatal(err)
			}
			render := n.must("kubectl kustomize " + dir)
			for _, want := range test.want {
				if !strings.Contains(render, want+"\n") {
					t.Errorf("the manifests have no %q", want)
				}
			}
			n.must("kubectl apply --server-side --dry-run=server --validate=strict --warnings-as-errors -k " + dir)
		})
	}
}

// TestRefused checks that the control plane refuses what is wrong, so that the other tests can fail.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name, old, replacement, want string
	}{
		{
			"typo", "readOnlyRootFilesystem:", "readOnlyRootFileSystem:",
			`unknown field "spec.template.spec.containers[0].securityContext.readOnlyRootFileSystem"`,
		},
		{"selector", "  strategy:", "      app: other\n  strategy:", "`selector` does not match template `labels`"},
		{"privileged", "allowPrivilegeEscalation: false", "privileged: true", `would violate PodSecurity "restricted:latest": privileged`},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNamespace(t)
			render := n.must("kubectl kustomize docker/kubernetes")
			if strings.Count(render, test.old) != 1 {
				t.Fatalf("got %d times %q in the manifests, want 1", strings.Count(render, test.old), test.old)
			}
			name := n.file(strings.Replace(render, test.old, test.replacement, 1))
			n.refused("kubectl apply --warnings-as-errors -f "+name, test.want)
			if test.name != "privileged" {
				return
			}
			// The Deployment exists nevertheless, but no pods.
			n.until("a pod is refused", func(ctx context.Context) (bool, error) {
				d, err := client.AppsV1().Deployments(n.name).Get(ctx, "proposer", metav1.GetOptions{})
				if err != nil {
					return false, err
				}
				for _, c := range d.Status.Conditions {
					if c.Type == appsv1.DeploymentReplicaFailure && strings.Contains(c.Message, "violates PodSecurity") {
						return true, nil
					}
				}
				return false, nil
			})
		})
	}
}
