package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Exit codes: a usage error, and crashes.
const (
	usageError = 64
	goPanic    = 2
	killed     = 137 // mostly for lack of memory
	segfault   = 139
)

const (
	running   = -1 // the pod is still running
	disrupted = -2 // the pod was evicted
)

// TestBatch runs the commands in the comment of the batch jobs' kustomization while the pods end as each
// case says.
func TestBatch(t *testing.T) {
	t.Parallel()
	const shards = 8
	const limit = 4 // attempts: the first one and backoffLimitPerIndex
	for _, test := range []struct {
		name string
		// Exit codes by index and attempt; the last one repeats. Other indexes succeed.
		codes    map[int][]int
		attempts map[int]int // by index, where not 1
		want     batchv1.JobConditionType
		reason   string
		failed   string // indexes
	}{
		{name: "complete", want: batchv1.JobComplete},
		{
			name:     "crash",
			codes:    map[int][]int{1: {goPanic, 0}, 2: {killed, 0}, 3: {segfault, goPanic, 1, 0}},
			attempts: map[int]int{1: 2, 2: 2, 3: 4},
			want:     batchv1.JobComplete,
		},
		{
			name:     "disruption",
			codes:    map[int][]int{5: {disrupted, disrupted, disrupted, disrupted, disrupted, disrupted, 0}},
			attempts: map[int]int{5: 7},
			want:     batchv1.JobComplete,
		},
		{
			name:     "permanent crash",
			codes:    map[int][]int{3: {goPanic}, 6: {killed}},
			attempts: map[int]int{3: limit, 6: limit},
			want:     batchv1.JobFailed,
			reason:   batchv1.JobReasonFailedIndexes,
			failed:   "3,6",
		},
		{
			name:   "usage error",
			codes:  map[int][]int{0: {running}, 1: {running}, 7: {usageError}},
			want:   batchv1.JobFailed,
			reason: batchv1.JobReasonPodFailurePolicy,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // the commands mostly wait
			n := newNamespace(t)
			documented := commandsOf(t, "docker/kubernetes/batch/kustomization.yaml")
			apply, wait := documented("kubectl apply"), documented("kubectl wait")
			n.must(apply)

			done := make(chan result, 1)
			go func() { done <- n.run(wait) }()
			attempts := map[int]int{}
			job, end := n.runJob("proposer-batch", func(index, attempt int) int {
				attempts[index] = attempt + 1
				codes := test.codes[index]
				if len(codes) == 0 {
					return 0
				}
				return codes[min(attempt, len(codes)-1)]
			})
			if end.Type != test.want || test.reason != "" && end.Reason != test.reason {
				t.Errorf("got condition %s (%s: %s), want %s (%s)", end.Type, end.Reason, end.Message, test.want, test.reason)
			}
			if job.Status.FailedIndexes != nil && *job.Status.FailedIndexes != test.failed {
				t.Errorf("got failed indexes %s, want %q", *job.Status.FailedIndexes, test.failed)
			}
			for index := range shards {
				want := max(test.attempts[index], 1)
				if got := attempts[index]; got != want {
					t.Errorf("index %d: got %d attempts, want %d", index, got, want)
				}
			}
			check := func(r result) {
				t.Helper()
				if r.err != nil || (r.code == 0) != (test.want == batchv1.JobComplete) {
					t.Errorf("%s: got exit code %d (%v) although the job has the condition %s\n%s%s", wait, r.code, r.err, end.Type, r.stdout, r.stderr)
				}
			}
			check(<-done)
			check(n.run(wait)) // after the end

			if test.want == batchv1.JobFailed {
				n.must(documented("kubectl delete") + " && " + apply)
				if job, end := n.runJob("proposer-batch", func(int, int) int { return 0 }); end.Type != batchv1.JobComplete {
					t.Errorf("applied again: got %+v", job.Status)
				}
			}
			n.must(documented("kubectl patch"))
			if job, end := n.runJob("proposer-merge", func(int, int) int { return 0 }); end.Type != batchv1.JobComplete {
				t.Errorf("merge: got %+v", job.Status)
			}
		})
	}
}

// commandsOf returns a function that returns the commands with a prefix in the comment of a file, as a
// line in which one runs after the other until one fails.
func commandsOf(t *testing.T, file string) func(prefix string) string {
	t.Helper()
	data, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	return func(prefix string) string {
		t.Helper()
		var found []string
		for line := range strings.Lines(string(data)) {
			if command, ok := strings.CutPrefix(line, "#   "); ok && strings.HasPrefix(command, prefix) {
				found = append(found, strings.TrimSpace(command))
			}
		}
		if len(found) == 0 {
			t.Fatalf("%s: no command %q", file, prefix)
		}
		return strings.Join(found, " && ")
	}
}

// runJob ends the pods of a job, with the code that exitCode returns for the index of a pod and the
// number of the pods before it, until the job is complete or has failed.
func (n *namespace) runJob(name string, exitCode func(index, attempt int) int) (job *batchv1.Job, end batchv1.JobCondition) {
	n.Helper()
	ended := map[types.UID]bool{}
	attempts := map[int]int{}
	n.until("job "+name+" is complete or has failed", func(ctx context.Context) (bool, error) {
		var err error
		if job, err = client.BatchV1().Jobs(n.name).Get(ctx, name, metav1.GetOptions{}); err != nil {
			return false, err
		}
		for _, end = range job.Status.Conditions {
			if end.Status == corev1.ConditionTrue && (end.Type == batchv1.JobComplete || end.Type == batchv1.JobFailed) {
				return true, nil
			}
		}
		pods, err := client.CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{LabelSelector: batchv1.ControllerUidLabel + "=" + string(job.UID)})
		if err != nil {
			return false, err
		}
		for _, p := range pods.Items {
			if ended[p.UID] || p.DeletionTimestamp != nil {
				continue
			}
			index := 0
			if text, ok := p.Annotations[batchv1.JobCompletionIndexAnnotation]; ok {
				if _, err := fmt.Sscan(text, &index); err != nil {
					return false, err
				}
			}
			ended[p.UID] = true
			code := exitCode(index, attempts[index])
			attempts[index]++
			if code == running {
				continue
			}
			if err := endPod(ctx, p, code); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	return job, end
}

// endPod sets the status that a kubelet reports when the container of a pod has ended.
func endPod(ctx context.Context, p corev1.Pod, code int) error {
	status := corev1.PodStatus{Phase: corev1.PodFailed}
	switch code {
	case 0:
		status.Phase = corev1.PodSucceeded
	case disrupted:
		code = 143
		status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI"}}
	}
	status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: p.Spec.Containers[0].Name,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: int32(code),
			// The delay before the next attempt begins with the end of this one: it is over.
			FinishedAt: metav1.NewTime(time.Now().Add(-time.Hour)),
		}},
	}}
	patch, err := json.Marshal(corev1.Pod{Status: status})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
