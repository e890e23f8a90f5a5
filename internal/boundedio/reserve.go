package boundedio

import "io"

// minBuffer is the size of the first buffer of [ReadReserved], in bytes.
const minBuffer = 4 << 10

// A Budget limits the memory of several readers together. Its methods are safe for concurrent use.
type Budget interface {
	// Reserve reserves n more bytes. It does not wait: if there is not as much left, it returns an error.
	Reserve(n int64) error
	// Release returns n reserved bytes.
	Release(n int64)
}

// ReadReserved is [ReadAll] for input whose announced size cannot be trusted: memory grows with the
// bytes that have arrived and is reserved before it is allocated. size is the announced size, 0 if
// there is none; it determines the capacity of the last buffer, never that of the first.
//
// The caller releases the capacity of the result. While a buffer grows, both the old and the new one
// are reserved: up to one and a half times the size of the input if that is announced, else up to three
// times. Errors are also those of Reserve, as they are; after an error nothing remains reserved.
func ReadReserved(r io.Reader, size, limit int64, budget Budget) ([]byte, error) {
	if size > limit {
		return nil, &LimitError{What: "bytes", Got: size, Max: limit}
	}
	buf, err := readReserved(r, size, limit, budget)
	if err != nil {
		budget.Release(int64(cap(buf)))
		return nil, err
	}
	return buf, nil
}

func readReserved(r io.Reader, size, limit int64, budget Budget) (buf []byte, err error) {
	var probe [1]byte // finds the end of input that fills its buffer
	for {
		n := int64(len(buf))
		free := buf[n:cap(buf)]
		if len(free) == 0 && n > 0 && (n == size || n == limit) {
			free = probe[:]
		}
		if len(free) == 0 {
			if buf, err = grow(buf, size, limit, budget); err != nil {
				return buf, err
			}
			continue
		}
		m, err := r.Read(free)
		switch {
		case m > 0 && n == limit:
			return buf, &LimitError{What: "bytes", Got: n + 1, Max: limit}
		case m > 0 && &free[0] == &probe[0]:
			// More than announced.
			var growErr error
			if buf, growErr = grow(buf, 0, limit, budget); growErr != nil {
				return buf, growErr
			}
			buf = append(buf, probe[0])
		default:
			buf = buf[:n+int64(m)]
		}
		if err == io.EOF {
			return clip(buf, budget), nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// grow returns a copy of buf with at most twice the capacity. If the size is announced, the capacities are
// it divided by powers of two, so that the last one but one is half of it.
func grow(buf []byte, size, limit int64, budget Budget) ([]byte, error) {
	most := max(2*int64(cap(buf)), minBuffer)
	capacity := min(most, max(limit, 1))
	if size > int64(cap(buf)) {
		for capacity = size; capacity > most; capacity = (capacity + 1) / 2 {
		}
	}
	return resize(buf, capacity, budget)
}

// clip returns buf, or a copy of it if it uses less than three quarters of its capacity and there is
// memory for both.
func clip(buf []byte, budget Budget) []byte {
	if len(buf) < cap(buf)/4*3 {
		if clipped, err := resize(buf, int64(len(buf)), budget); err == nil {
			return clipped
		}
	}
	return buf
}

// resize returns a copy of buf with a capacity, or buf and an error.
func resize(buf []byte, capacity int64, budget Budget) ([]byte, error) {
	if err := budget.Reserve(capacity); err != nil {
		return buf, err
	}
	resized := append(make([]byte, 0, capacity), buf...)
	budget.Release(int64(cap(buf)))
	return resized, nil
}
