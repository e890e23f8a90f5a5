package fairqueue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// A harness runs items in goroutines of a synctest bubble.
type harness struct {
	queue *Queue
	begun []string // names of items, in order
}

// begin runs an item in a goroutine. It begins, or fails, before begin returns unless it must wait.
// end may be called at any time; it cancels an item that waits.
func (h *harness) begin(r *Request, name string, weight int64) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		end, err := r.Begin(ctx, weight)
		if err == nil {
			h.begun = append(h.begun, name) // the tests wait after each step, in which at most one item begins
			<-ctx.Done()
			end()
		}
		ended <- err
	}()
	synctest.Wait()
	return func() error {
		cancel()
		err := <-ended
		synctest.Wait()
		return err
	}
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		items string // client and weight
		want  string
	}{
		{"a single client: FIFO", "a1 a3 a2 a1", "a1 a3 a2 a1"},
		{"one item of each client in turn", "a1 a1 a1 a1 b1 b1 c1", "a1 b1 c1 a1 b1 a1 a1"},
		{"light items before heavy ones, as much of each", "a4 a4 a4 b2 b2 b2 b2", "a4 b2 a4 b2 b2 a4 b2"},
		{"a heavy item has its turn", "a1 b3 a1 a1 a1 a1 a1", "a1 a1 a1 b3 a1 a1 a1"},
		{"heavier than the capacity", "a1 b100 a1 a1", "a1 a1 a1 b100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := harness{queue: New(100, 1, 8)}
				items := strings.Fields(c.items)
				ends := map[string][]func() error{}
				for _, name := range items {
					var weight int64
					if _, err := fmt.Sscan(name[1:], &weight); err != nil {
						t.Fatal(err)
					}
					ends[name] = append(ends[name], h.begin(h.queue.Request(name[:1]), name, weight))
				}
				for i := range items {
					name := h.begun[i]
					if err := ends[name][0](); err != nil {
						t.Fatal(err)
					}
					ends[name] = ends[name][1:]
				}
				if got := strings.Join(h.begun, " "); got != c.want {
					t.Errorf("got the order %s, want %s", got, c.want)
				}
				if !h.queue.Idle() {
					t.Error("the queue is not idle")
				}
			})
		})
	}
}

// An item that is as heavy as the capacity waits for those that have begun, and none passes it by.
func TestHeavyItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness{queue: New(100, 2, 10)}
		first, second := h.begin(h.queue.Request("a"), "a first", 10), h.begin(h.queue.Request("a"), "a second", 10)
		first()
		light := h.begin(h.queue.Request("b"), "light", 1)
		heavy := h.begin(h.queue.Request("c"), "heavy", 10)
		second()
		later := h.begin(h.queue.Request("b"), "later", 10)
		if got := strings.Join(h.begun, ", "); got != "a first, a second, light" {
			t.Errorf("before the light one ends, have begun: %s", got)
		}
		for _, end := range []func() error{light, heavy, later} {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
		if got := strings.Join(h.begun, ", "); got != "a first, a second, light, heavy, later" {
			t.Errorf("in the end, have begun: %s", got)
		}
	})
}

// The items of a request take one slot, and wait behind those of other requests of the client.
func TestRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness{queue: New(2, 1, 1)}
		form := h.queue.Request("a")
		var ends []func() error
		for i := range 4 {
			ends = append(ends, h.begin(form, fmt.Sprint("form ", i), 1))
		}
		single := h.begin(h.queue.Request("a"), "single", 1)
		if _, err := h.queue.Request("a").Begin(t.Context(), 1); !errors.Is(err, ErrFull) {
			t.Errorf("the third request: got %v, want ErrFull", err)
		}
		if err := h.queue.Request("a").Admit(); !errors.Is(err, ErrFull) {
			t.Errorf("the third request: got %v, want ErrFull", err)
		}
		other := h.begin(h.queue.Request("b"), "other", 1) // has a share
		if err := h.queue.Request("b").Admit(); !errors.Is(err, ErrFull) {
			t.Errorf("the second request of another client: got %v, want ErrFull", err)
		}
		for _, end := range append(ends[:1:1], other, ends[1], single, ends[2], ends[3]) {
			if err := end(); err != nil {
				t.Error(err)
			}
		}
		if got, want := strings.Join(h.begun, ", "), "form 0, other, form 1, single, form 2, form 3"; got != want {
			t.Errorf("got the order %s, want %s", got, want)
		}
		if !h.queue.Idle() {
			t.Error("the queue is not idle")
		}
	})
}

// A refItem is an item of the reference, which computes everything from the list of all items.
type refItem struct {
	item   *item
	client int
	weight int64
	state  string          // waits, begun or ended
	first  int64           // virtual time at which it became its client's first, or -1
	passed map[int][]int64 // weights of the items of other clients that have begun since
}

// A reference is a slow and literal model of a queue.
type reference struct {
	slots, workers int
	capacity, now  int64
	items          []*refItem
	starts         []int // clients
}

func (m *reference) in(states ...string) (found []*refItem) {
	for _, it := range m.items {
		if slices.Contains(states, it.state) {
			found = append(found, it)
		}
	}
	return found
}

// firsts returns the first waiting item of each client.
func (m *reference) firsts() (firsts []*refItem) {
	for _, it := range m.in("waits") {
		if !slices.ContainsFunc(firsts, func(f *refItem) bool { return f.client == it.client }) {
			firsts = append(firsts, it)
		}
	}
	return firsts
}

// lastStart returns the index of the client's last start, or -1 if all its requests came after that.
func (m *reference) lastStart(client int) int {
	for i, c := range slices.Backward(m.starts) {
		if c == client {
			return i
		}
	}
	return -1
}

// settle begins items until the next one does not fit, and returns it.
func (m *reference) settle(t *rapid.T) (next *refItem) {
	for {
		begun := m.in("begun")
		var used int64
		for _, it := range begun {
			used += min(it.weight, m.capacity)
		}
		next = nil
		for _, it := range m.firsts() {
			if it.first < 0 {
				it.first, it.passed = m.now, map[int][]int64{}
			}
			if next == nil || it.first+it.weight < next.first+next.weight ||
				it.first+it.weight == next.first+next.weight && m.lastStart(it.client) < m.lastStart(next.client) {
				next = it
			}
		}
		if next == nil || len(begun) == m.workers || used+min(next.weight, m.capacity) > m.capacity {
			return next
		}
		next.state = "begun"
		m.starts = append(m.starts, next.client)
		m.now = max(m.now, next.first+next.weight)
		for _, it := range m.firsts() {
			if it.first >= 0 && it.client != next.client {
				it.passed[next.client] = append(it.passed[next.client], next.weight)
			}
		}
		for client, weights := range next.passed {
			var sum int64
			for _, w := range weights[1:] {
				sum += w
			}
			if sum > next.weight {
				t.Fatalf("an item of weight %d waited for %v of client %d: want at most as much and one more", next.weight, weights, client)
			}
		}
	}
}

func (it *item) hasBegun() bool {
	select {
	case <-it.begin:
		return true
	default:
		return false
	}
}

func TestAgainstReference(t *testing.T) {
	rapid.Check(t, checkAgainstReference)
}

func checkAgainstReference(t *rapid.T) {
	m := &reference{
		slots:    rapid.IntRange(1, 8).Draw(t, "slots"),
		workers:  rapid.IntRange(1, 4).Draw(t, "workers"),
		capacity: rapid.Int64Range(1, 12).Draw(t, "capacity"),
	}
	q := New(m.slots, m.workers, m.capacity)
	t.Repeat(map[string]func(*rapid.T){
		"": func(t *rapid.T) {
			requests, limit := len(m.in("waits", "begun")), float64(m.slots)*(2+math.Log(float64(m.slots)))
			if float64(requests) > limit || q.requests != requests || q.begun != len(m.in("begun")) {
				t.Fatalf("%d requests, %d begun: want at most %v, and %d, %d", q.requests, q.begun, limit, requests, len(m.in("begun")))
			}
			for i, it := range m.items {
				if got, want := it.item.hasBegun(), it.state == "begun"; it.state != "ended" && got != want {
					t.Fatalf("item %d of client %d: begun is %v, want %v", i, it.client, got, want)
				}
			}
		},
		"begin": func(t *rapid.T) {
			client := rapid.IntRange(0, 4).Draw(t, "client")
			weight := rapid.Int64Range(1, 15).Draw(t, "weight")
			own, clients := 0, []int{client}
			present := m.in("waits", "begun")
			for _, it := range present {
				if it.client == client {
					own++
				}
				clients = append(clients, it.client)
			}
			slices.Sort(clients)
			admitted := len(present) < m.slots || own < m.slots/len(slices.Compact(clients))
			it, err := q.add(q.Request(fmt.Sprint(client)), weight)
			if admitted && err != nil || !admitted && !errors.Is(err, ErrFull) {
				t.Fatalf("got %v with %d of %d requests, %d of the client, and %d clients", err, len(present), m.slots, own, len(slices.Compact(clients)))
			}
			if err == nil {
				m.items = append(m.items, &refItem{item: it, client: client, weight: weight, state: "waits", first: -1})
				m.settle(t)
			}
		},
		"end": func(t *rapid.T) {
			present := m.in("waits", "begun")
			if len(present) == 0 {
				t.Skip("no item")
			}
			it := rapid.SampledFrom(present).Draw(t, "item")
			q.remove(it.item)
			canceled := it.state == "waits"
			it.state = "ended"
			for _, next := range m.firsts() {
				if canceled && next.client == it.client && next.first < 0 { // takes the place of the canceled one
					next.first, next.passed = it.first, map[int][]int64{}
				}
			}
			if !slices.ContainsFunc(m.in("waits", "begun"), func(o *refItem) bool { return o.client == it.client }) {
				for i, c := range m.starts {
					if c == it.client {
						m.starts[i] = -1 // forgotten
					}
				}
			}
			m.settle(t)
		},
	})
	for _, it := range m.in("waits", "begun") {
		q.remove(it.item)
	}
	if !q.Idle() || len(q.clients) > 0 || q.used != 0 || q.waiting != 0 {
		t.Fatalf("not idle: %+v", q)
	}
}
