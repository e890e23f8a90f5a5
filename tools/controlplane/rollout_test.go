package controlplane

import (
	"context"
	"fmt"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestRollout checks what the controllers make of the service's manifests, on a node that can run
// two pods and no more.
func TestRollout(t *testing.T) {
	n := newNamespace(t)
	n.must("kubectl apply -k docker/kubernetes")
	const replicas = 2 // minReplicas of the autoscaler
	node := newNode(n, replicas)
	n.until("the pods are ready", func(ctx context.Context) (bool, error) {
		ready, err := node.syncPods(ctx)
		return len(ready) == replicas, err
	})

	t.Run("Service", func(t *testing.T) {
		n := n.in(t)
		n.until("the pods are its endpoints", func(ctx context.Context) (bool, error) {
			slices, err := client.DiscoveryV1().EndpointSlices(n.name).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=proposer"})
			if err != nil || len(slices.Items) != 1 || len(slices.Items[0].Endpoints) != replicas {
				return false, err
			}
			for _, p := range slices.Items[0].Ports {
				if *p.Name != "http" || *p.Port != 8080 {
					return false, fmt.Errorf("got port %s %d, want http 8080", *p.Name, *p.Port)
				}
			}
			return true, nil
		})
	})

	t.Run("NetworkPolicy", func(t *testing.T) {
		n := n.in(t)
		policy, err := client.NetworkingV1().NetworkPolicies(n.name).Get(t.Context(), "proposer", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pods, err := client.CoreV1().Pods(n.name).List(t.Context(), metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&policy.Spec.PodSelector)})
		if err != nil || len(pods.Items) != replicas {
			t.Errorf("it selects %d pods (%v), want %d", len(pods.Items), err, replicas)
		}
	})

	t.Run("HorizontalPodAutoscaler", func(t *testing.T) {
		n := n.in(t)
		n.until("it says that there are no metrics", func(ctx context.Context) (bool, error) {
			hpa, err := client.AutoscalingV2().HorizontalPodAutoscalers(n.name).Get(ctx, "proposer", metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			var able, inactive bool
			for _, c := range hpa.Status.Conditions {
				able = able || c.Type == autoscalingv2.AbleToScale && c.Status == corev1.ConditionTrue
				inactive = inactive || c.Type == autoscalingv2.ScalingActive && c.Reason == "FailedGetResourceMetric"
			}
			return able && inactive, nil
		})
	})

	t.Run("restart", func(t *testing.T) {
		n := n.in(t)
		n.must("kubectl rollout restart deployment proposer")
		status := make(chan result, 1)
		go func() { status <- n.run("kubectl rollout status deployment proposer") }()
		n.until("the pods are new", func(ctx context.Context) (bool, error) {
			ready, err := node.syncPods(ctx)
			if err == nil && len(ready) < replicas-1 {
				err = fmt.Errorf("%d pods are ready, want at least %d", len(ready), replicas-1)
			}
			select {
			case r := <-status:
				if r.code != 0 {
					err = fmt.Errorf("kubectl rollout status: %+v", r)
				}
				return true, err
			default:
				return false, err
			}
		})
	})

	t.Run("PodDisruptionBudget", func(t *testing.T) {
		n := n.in(t)
		n.until("it allows a disruption", func(ctx context.Context) (bool, error) {
			pdb, err := client.PolicyV1().PodDisruptionBudgets(n.name).Get(ctx, "proposer", metav1.GetOptions{})
			return err == nil && pdb.Status.DisruptionsAllowed == 1, err
		})
		pods, err := node.syncPods(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		evict := func(name string) error {
			return client.PolicyV1().Evictions(n.name).Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: n.name}})
		}
		if err := evict(pods[0]); err != nil {
			t.Errorf("the first eviction: %v", err)
		}
		if err := evict(pods[1]); !apierrors.IsTooManyRequests(err) {
			t.Errorf("the second eviction: got %v, want it to be refused", err)
		}
	})
}

// node stands for the scheduler and a kubelet.
type node struct {
	name, namespace string
	capacity        int // in pods
	started         int
}

// newNode adds a node to the control plane.
func newNode(n *namespace, capacity int) *node {
	n.Helper()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}
	if _, err := client.CoreV1().Nodes().Create(n.Context(), object, metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() {
		if err := client.CoreV1().Nodes().Delete(context.Background(), n.name, metav1.DeleteOptions{}); err != nil {
			n.Error(err)
		}
	})
	return &node{name: n.name, namespace: n.name, capacity: capacity}
}

// syncPods ends deleted pods, starts pending ones up to the capacity, and returns the names of those that
// are ready.
func (o *node) syncPods(ctx context.Context) (ready []string, err error) {
	pods := client.CoreV1().Pods(o.namespace)
	all, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var pending []corev1.Pod
	for _, p := range all.Items {
		switch {
		case p.DeletionTimestamp != nil:
			err = pods.Delete(ctx, p.Name, *metav1.NewDeleteOptions(0))
		case p.Spec.NodeName == "":
			pending = append(pending, p)
		default:
			ready = append(ready, p.Name)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	for _, p := range pending {
		if len(ready) >= o.capacity {
			break
		}
		err := pods.Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: p.Name},
			Target:     corev1.ObjectReference{Kind: "Node", Name: o.name},
		}, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue // its controller has deleted it
		}
		o.started++
		status := fmt.Sprintf(`{"status": {"phase": "Running", "podIP": "10.0.0.%d", "podIPs": [{"ip": "10.0.0.%[1]d"}],
			"conditions": [{"type": "Ready", "status": "True"}]}}`, o.started)
		if err == nil {
			_, err = pods.Patch(ctx, p.Name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
		}
		if err != nil {
			return nil, err
		}
		ready = append(ready, p.Name)
	}
	return ready, nil
}
