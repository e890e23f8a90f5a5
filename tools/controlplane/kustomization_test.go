package controlplane

import (
	"context"
	"fmt"
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
