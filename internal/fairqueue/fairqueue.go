// Package fairqueue divides workers and a weighted capacity fairly between clients.
//
// The order is that of self-clocked fair queueing (Golestani, INFOCOM 1994). Before an item begins,
// each other client begins items that together weigh at most as much as it, and one more. Hence a
// client with many or heavy items delays its own, an item as heavy as the capacity has its turn, and
// a client with nothing to wait for it uses everything. The items of a client begin in FIFO order.
package fairqueue

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrFull reports that a queue has no slot for a request.
var ErrFull = errors.New("the queue is full")

// A Queue schedules items. All methods are safe for concurrent use.
type Queue struct {
	slots    int // requests that have items
	workers  int // items that have begun
	capacity int64

	mu       sync.Mutex
	clients  map[string]*client // those with requests that have items
	requests int                // that have items
	waiting  int                // items
	begun    int                // items
	used     int64              // capacity
	now      int64              // virtual time: that in which the last item to begin would finish
	arrivals uint64             // of items
	starts   uint64             // of items
}

type client struct {
	requests int // that have items
	waiting  []*item
	started  uint64 // number of its last start, 0 if none
	since    int64  // virtual time at which waiting[0], or what was canceled before it, became the first
}

// finish returns the virtual time in which the first item would finish.
func (c *client) finish() int64 { return c.since + c.waiting[0].weight }

type item struct {
	request *Request
	weight  int64
	arrival uint64
	begin   chan struct{} // closed when the item begins
}

// New returns a queue with slots for requests. At any time at most workers items that together weigh at
// most capacity have begun and not ended. All must be positive.
func New(slots, workers int, capacity int64) *Queue {
	return &Queue{slots: slots, workers: workers, capacity: capacity, clients: map[string]*client{}}
}

// Idle reports whether no item waits or has begun.
func (q *Queue) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.requests == 0
}

// A Request is a sequence of items of a client. It takes a slot while any of its items waits or has
// begun.
type Request struct {
	queue  *Queue
	client string
	turn   chan struct{} // held while an item waits

	admitted bool
	items    int // that wait or have begun
}

// Request returns a request of a client. It does not take a slot yet.
func (q *Queue) Request(client string) *Request {
	return &Request{queue: q, client: client, turn: make(chan struct{}, 1)}
}

// Admit returns ErrFull if there is no slot for the request. Otherwise Begin does not return ErrFull, even
// if there is none by then: what has been admitted is not refused again.
func (r *Request) Admit() error {
	q := r.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.admit(r)
}

// Begin waits until an item may begin, and returns a function that ends it, which must be called once.
// The items of a request wait one after another. An item that weighs more than the capacity begins
// when no other has. The error is the context's, or that of Admit, which is immediate.
func (r *Request) Begin(ctx context.Context, weight int64) (end func(), err error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	it, err := r.queue.add(r, weight)
	if err != nil {
		return nil, err
	}
	select {
	case <-it.begin:
		return func() { r.queue.remove(it) }, nil
	default:
	}
	select {
	case <-it.begin:
		return func() { r.queue.remove(it) }, nil
	case <-ctx.Done():
		r.queue.remove(it) // which may have begun by now
		return nil, ctx.Err()
	}
}

// add adds an item, which waits or begins.
func (q *Queue) add(r *Request, weight int64) (*item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.admit(r); err != nil {
		return nil, err
	}
	it := &item{request: r, weight: max(weight, 1), arrival: q.arrivals, begin: make(chan struct{})}
	q.arrivals++
	c := q.enter(r)
	if len(c.waiting) == 0 {
		c.since = q.now
	}
	c.waiting = append(c.waiting, it)
	q.waiting++
	q.dispatch()
	return it, nil
}

// remove ends an item, or cancels it if it waits. Either way the next one may begin.
func (q *Queue) remove(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.clients[it.request.client]
	if i := slices.Index(c.waiting, it); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
		q.waiting--
	} else {
		q.begun--
		q.used -= q.need(it)
	}
	q.leave(it.request, c)
	q.dispatch()
}

// need returns what an item takes of the capacity.
func (q *Queue) need(it *item) int64 { return min(it.weight, q.capacity) }

// admit admits a request if there is a slot for it. A client that has less than an equal share of the slots
// gets one even if all are taken. Not counting requests admitted before, at most slots × (2 + ln slots)
// have items.
func (q *Queue) admit(r *Request) error {
	if !r.admitted && q.requests >= q.slots {
		clients, own := len(q.clients), 0
		if c := q.clients[r.client]; c != nil {
			own = c.requests
		} else {
			clients++
		}
		if own >= q.slots/clients {
			return ErrFull
		}
	}
	r.admitted = true
	return nil
}

// enter counts an item of an admitted request, which takes a slot if it is the only one.
func (q *Queue) enter(r *Request) *client {
	c := q.clients[r.client]
	if c == nil {
		c = &client{}
		q.clients[r.client] = c
	}
	if r.items == 0 {
		c.requests++
		q.requests++
	}
	r.items++
	return c
}

// leave undoes enter.
func (q *Queue) leave(r *Request, c *client) {
	if r.items--; r.items > 0 {
		return
	}
	q.requests--
	if c.requests--; c.requests == 0 {
		delete(q.clients, r.client)
	}
}

// dispatch begins items in order until one does not fit. It does not pass that one by, so a heavy
// item is not delayed by light ones that arrive after its turn has come.
func (q *Queue) dispatch() {
	for q.waiting > 0 && q.begun < q.workers {
		c := q.next()
		it := c.waiting[0]
		if q.need(it) > q.capacity-q.used {
			return
		}
		q.now = max(q.now, c.finish()) // an item whose predecessor was canceled may finish earlier
		c.since = q.now
		c.waiting = slices.Delete(c.waiting, 0, 1)
		q.waiting--
		q.starts++
		c.started = q.starts
		q.begun++
		q.used += q.need(it)
		close(it.begin)
	}
}

// next returns the client whose first item is the next one: the one that would finish first, then that
// of the client whose last item began earlier, then the earlier one. It takes O(clients).
func (q *Queue) next() (next *client) {
	for _, c := range q.clients {
		if len(c.waiting) > 0 && (next == nil || c.before(next)) {
			next = c
		}
	}
	return next
}

func (c *client) before(d *client) bool {
	switch {
	case c.finish() != d.finish():
		return c.finish() < d.finish()
	case c.started != d.started:
		return c.started < d.started
	}
	return c.waiting[0].arrival < d.waiting[0].arrival
}
