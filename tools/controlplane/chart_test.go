package controlplane

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const chart = "docker/helm/proposer"

// valueSets returns the files with values that the chart is tested with.
func valueSets(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(root + chart + "/ci/*.yaml")
	if err != nil || len(all) == 0 {
		t.Fatalf("no values in %s/ci (%v)", chart, err)
	}
	for i, name := range all {
		all[i] = filepath.Join(chart, "ci", filepath.Base(name))
	}
	return all
}

// packageChart returns the name of an archive of the chart.
func packageChart(n *namespace) string {
	n.Helper()
	// It reports the symbolic links that it follows on standard error.
	stdout, stderr, code := n.sh("helm package " + chart + " --destination " + n.TempDir())
	_, name, ok := strings.Cut(stdout, ": ")
	if code != 0 || !ok {
		n.Fatalf("helm package: got exit code %d, want 0\n%s%s", code, stdout, stderr)
	}
	return strings.TrimSpace(name)
}

// TestChart installs the chart with each set of values. The API server validates what Helm has created
// strictly, which Helm does not ask for, and reports no difference.
func TestChart(t *testing.T) {
	all := newNamespace(t)
	defineResources(all)
	archive := packageChart(all)
	all.must("kubectl create priorityclass high --value=1000") // of the values
	for _, values := range valueSets(t) {
		t.Run(filepath.Base(values), func(t *testing.T) {
			n := newNamespace(t)
			n.must("kubectl create serviceaccount shared") // of the values
			n.must("helm install proposer " + archive + " --values " + values)
			for _, part := range []string{"manifest", "hooks"} {
				rendered := n.must("helm get " + part + " proposer")
				if strings.TrimSpace(rendered) == "" {
					continue // a release without the service has no hooks
				}
				objects := n.file(rendered)
				n.must("kubectl apply --server-side --force-conflicts --dry-run=server --validate=strict --warnings-as-errors -f " + objects)
				if part == "manifest" {
					// The autoscaler may change the number of replicas meanwhile.
					n.eventually("kubectl diff --server-side --force-conflicts -f " + objects)
				}
			}
			n.until("a pod exists", func(ctx context.Context) (bool, error) {
				pods, err := client.CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{})
				return err == nil && len(pods.Items) > 0, err
			})
		})
	}
}

// TestChartUpgrade upgrades a release to each set of values and back to the first: the selector of a
// Deployment and the pods of a Job cannot be changed.
func TestChartUpgrade(t *testing.T) {
	n := newNamespace(t)
	defineResources(n)
	archive := packageChart(n)
	all := valueSets(t)
	for _, values := range append(all, all[0]) {
		n.must("helm upgrade --install proposer " + archive + " --values " + values)
	}
	n.must("helm rollback proposer 1")
	n.must("helm uninstall proposer")
}

// TestChartBatch runs the commands in the notes of a release with a batch job.
func TestChartBatch(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]int{"complete": 0, "usage error": usageError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the commands mostly wait
			n := newNamespace(t)
			notes := n.must("helm install proposer " + packageChart(n) + " --values " + chart + "/ci/batch-values.yaml")
			batch := regexp.MustCompile(`proposer-batch-[0-9a-f]+`).FindString(notes)
			// The commands are in lines of their own.
			commands := func(pattern string) string {
				t.Helper()
				found := regexp.MustCompile(`(?m)^  kubectl .* `+pattern+`.*$`).FindAllString(notes, -1)
				if batch == "" || len(found) == 0 {
					t.Fatalf("no command %s in the notes:\n%s", pattern, notes)
				}
				return strings.Join(found, " && ")
			}
			for _, job := range []string{batch, batch + "-merge"} {
				if job != batch {
					n.must(commands("patch job " + job))
				}
				wait := commands("wait .* job/" + job + "$")
				done := make(chan result, 1)
				go func() { done <- n.run(wait) }()
				_, end := n.runJob(job, func(int, int) int { return code })
				if failed := end.Type == batchv1.JobFailed; failed != (code != 0) {
					t.Errorf("%s: got condition %s", job, end.Type)
				}
				for _, r := range []result{<-done, n.run(wait)} {
					if r.err != nil || (r.code != 0) != (code != 0) {
						t.Errorf("%s: got exit code %d (%v) after %s\n%s%s", wait, r.code, r.err, end.Type, r.stdout, r.stderr)
					}
				}
			}
		})
	}
}
