// Package pickle reads Python's pickles of containers, numbers, strings and NumPy arrays, of protocols 0
// to 5 and of Python 2 and 3.
//
// A pickle is a program that may call any function. [Load] executes none: it knows the functions by
// which NumPy and the containers of Python are restored, and refuses every other by name. Memory is
// bounded by four times the size of the pickle, plus a constant.
package pickle

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/internal/npy"
)

// The values of a pickle are nil (None), bool, int64, float64, string (str, and that of Python 2, which
// may hold any bytes), []byte, *[List], *[Dict], *[Array] and *[Object]. Values may be shared and may
// contain themselves.

// List is a list, a tuple or a set.
type List struct {
	items   []any
	numbers []float64 // in place of items if all of them are numbers
}

// Len returns the number of items.
func (l *List) Len() int { return max(len(l.items), len(l.numbers)) }

// At returns an item. Integers below 2⁵³ are float64.
func (l *List) At(i int) any {
	if l.numbers != nil {
		return l.numbers[i]
	}
	return l.items[i]
}

// Numbers returns the items if all of them are numbers.
func (l *List) Numbers() ([]float64, bool) { return l.numbers, len(l.items) == 0 }

// Dict is a dictionary in the order of its items. A key that was set twice is in it twice.
type Dict struct {
	Keys, Values []any
}

// Get returns the last value of a string key.
func (d *Dict) Get(key string) (v any, ok bool) {
	for i, k := range slices.Backward(d.Keys) {
		if k == key {
			return d.Values[i], true
		}
	}
	return nil, false
}

// Array is a NumPy array.
type Array struct {
	Type    npy.Type
	Fortran bool // elements are stored in column-major order
	Shape   []int
	Data    []byte // numbers and strings
	Objects *List  // the elements, if the type is 'O'
}

// Object is an object of a class of which only the attributes are read.
type Object struct {
	Class      string
	Attributes *Dict
}

// allowed are classes whose objects are read as [Object]. Their modules have had several names.
func isObjectClass(name string) bool {
	return strings.HasSuffix(name, ".InstanceData") && (strings.HasPrefix(name, "mmengine.") || strings.HasPrefix(name, "mmdet."))
}

// global is a function or a class by its name.
type global string

// mark is the beginning of a group of items on the stack.
type mark struct{}

// dtype is a NumPy type while it is restored.
type dtype struct{ npy.Type }

// machine executes a pickle.
type machine struct {
	ctx    context.Context
	in     *bufio.Reader
	offset int64
	size   int64 // of the pickle, or -1

	stack     []any
	high      int // the largest length of the stack
	memo      []any
	sparse    map[uint32]any // entries of the memo out of order
	allocated int64
}

const (
	// slack is the memory that any pickle may take.
	slack = 64 << 20
	// factor is the memory that a pickle may take by its size.
	factor = 4
)

// Load reads a pickle of size bytes, or of unknown size if size is -1.
func Load(ctx context.Context, in io.Reader, size int64) (any, error) {
	m := &machine{ctx: ctx, in: bufio.NewReaderSize(in, 1<<16), size: size}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		op, err := m.in.ReadByte()
		at := m.offset
		m.offset++
		if err == nil && op == '.' {
			if len(m.stack) != 1 {
				return nil, fmt.Errorf("%d values at the end: want one", len(m.stack))
			}
			return checkResult(m.stack[0])
		}
		if err == nil {
			err = m.execute(op)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the file ends early: want a complete pickle")
		}
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", at, err)
		}
	}
}

// checkResult returns an error for values that are only parts of others.
func checkResult(v any) (any, error) {
	switch v := v.(type) {
	case global:
		return nil, fmt.Errorf("%s alone: want a list or a dictionary", v)
	case mark, *dtype:
		return nil, errors.New("no value: want a list or a dictionary")
	}
	return v, nil
}

var errStack = errors.New("an operation without its operands: want a pickle as Python writes it")

// charge accounts for allocated memory.
func (m *machine) charge(n int64) error {
	m.allocated += n
	if m.allocated > slack+factor*max(m.offset, m.size) {
		return fmt.Errorf("more than %d bytes of small objects: want NumPy arrays instead of lists", slack+factor*max(m.offset, m.size))
	}
	return nil
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	if len(m.stack) > m.high {
		m.high = len(m.stack)
		return m.charge(16)
	}
	return nil
}

// pop removes n values and returns them, valid until the next push.
func (m *machine) pop(n int) ([]any, error) {
	if len(m.stack) < n {
		return nil, errStack
	}
	top := m.stack[len(m.stack)-n:]
	for _, v := range top {
		if v == (mark{}) {
			return nil, errStack
		}
	}
	m.stack = m.stack[:len(m.stack)-n]
	return top, nil
}

// popMark removes the values above the last mark, and the mark. They are valid until the next push.
func (m *machine) popMark() ([]any, error) {
	for i, v := range slices.Backward(m.stack) {
		if v == (mark{}) {
			items := m.stack[i+1:]
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errStack
}

// top returns the value on top of the stack.
func (m *machine) top() (any, error) {
	if len(m.stack) == 0 || m.stack[len(m.stack)-1] == (mark{}) {
		return nil, errStack
	}
	return m.stack[len(m.stack)-1], nil
}

// uint reads a little-endian number of n bytes.
func (m *machine) uint(n int) (uint64, error) {
	var b [8]byte
	_, err := io.ReadFull(m.in, b[:n])
	m.offset += int64(n)
	return binary.LittleEndian.Uint64(b[:]), err
}

// bytes reads n bytes, preceded by their number in n bytes. It allocates as it reads, because the
// number may be made up.
func (m *machine) bytes(n int) ([]byte, error) {
	length, err := m.uint(n)
	if err != nil {
		return nil, err
	}
	if length > math.MaxInt64/2 || m.size >= 0 && int64(length) > m.size-m.offset {
		return nil, io.ErrUnexpectedEOF
	}
	if err := m.charge(48); err != nil {
		return nil, err
	}
	var data []byte
	for left := int64(length); left > 0; left = int64(length) - int64(len(data)) {
		step := int(left)
		if m.size < 0 {
			step = int(min(left, max(1<<16, int64(len(data)))))
		}
		start := len(data)
		data = slices.Grow(data, step)[:start+step]
		if _, err := io.ReadFull(m.in, data[start:]); err != nil {
			return nil, err
		}
		m.offset += int64(step)
		if m.ctx.Err() != nil {
			return nil, m.ctx.Err()
		}
	}
	return data, nil
}

// line reads a line without its end.
func (m *machine) line() (string, error) {
	text, err := m.in.ReadString('\n')
	m.offset += int64(len(text))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), m.charge(48)
}

// execute executes an operation other than the last.
func (m *machine) execute(op byte) error {
	switch op {
	case 0x80: // PROTO
		version, err := m.uint(1)
		if err == nil && version > 5 {
			return fmt.Errorf("protocol %d: want 0 to 5", version)
		}
		return err
	case 0x95: // FRAME
		_, err := m.uint(8)
		return err
	case '(':
		return m.push(mark{})
	case '0': // POP, which also removes a mark
		if len(m.stack) == 0 {
			return errStack
		}
		m.stack = m.stack[:len(m.stack)-1]
		return nil
	case '1':
		_, err := m.popMark()
		return err
	case '2':
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.push(v)
	case 'N':
		return m.push(nil)
	case 0x88, 0x89:
		return m.push(op == 0x88)
	case 'F', 'G', 'I', 'J', 'K', 'L', 'M', 0x8a, 0x8b:
		v, err := m.number(op)
		if err != nil {
			return err
		}
		return m.push(v)
	case 'S', 'T', 'U', 'V', 'X', 0x8c, 0x8d, 'B', 'C', 0x8e, 0x96:
		v, err := m.text(op)
		if err != nil {
			return err
		}
		return m.push(v)
	case 0x98: // READONLY_BUFFER
		return nil
	case ')', 't', 0x85, 0x86, 0x87, ']', 'l', '}', 'd', 0x8f, 0x91:
		return m.container(op)
	case 'a', 'e', 's', 'u', 0x90:
		return m.fill(op)
	case 'g', 'h', 'j', 'p', 'q', 'r', 0x94:
		return m.memoize(op)
	case 'c', 0x93, 'R', 'b', 'i', 'o', 0x81, 0x92:
		return m.object(op)
	case 'P', 'Q':
		return errors.New("a reference to data outside of the pickle, as torch.save writes: want NumPy arrays and pickle.dump")
	case 0x97:
		return errors.New("a buffer outside of the pickle: want pickle.dump without buffer_callback")
	case 0x82, 0x83, 0x84:
		return errors.New("a registered extension: want containers, numbers, strings and NumPy arrays")
	}
	return fmt.Errorf("unknown operation %#x: want a pickle of protocol 0 to 5", op)
}

// number reads an int or a float.
func (m *machine) number(op byte) (any, error) {
	switch op {
	case 'K':
		n, err := m.uint(1)
		return int64(n), err
	case 'M':
		n, err := m.uint(2)
		return int64(n), err
	case 'J':
		n, err := m.uint(4)
		return int64(int32(n)), err
	case 'G':
		var b [8]byte
		_, err := io.ReadFull(m.in, b[:])
		m.offset += 8
		return math.Float64frombits(binary.BigEndian.Uint64(b[:])), err
	case 0x8a, 0x8b:
		size := 1
		if op == 0x8b {
			size = 4
		}
		data, err := m.bytes(size)
		if err != nil {
			return nil, err
		}
		return longOf(data)
	}
	text, err := m.line()
	if err != nil {
		return nil, err
	}
	switch {
	case op == 'F':
		f, err := strconv.ParseFloat(text, 64)
		if err != nil && !math.IsInf(f, 0) {
			return nil, fmt.Errorf("float %.40q: want a number", text)
		}
		return f, nil
	case op == 'I' && (text == "00" || text == "01"):
		return text == "01", nil
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "L"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("int %.40q: want a number of at most 64 bits", text)
	}
	return n, nil
}

// longOf returns a little-endian number in two's complement.
func longOf(data []byte) (any, error) {
	if len(data) == 0 {
		return int64(0), nil
	}
	negative := data[len(data)-1]&0x80 != 0
	fill := byte(0)
	if negative {
		fill = 0xff
	}
	var b [8]byte
	for i := range b {
		b[i] = fill
	}
	for i, v := range data {
		if i < len(b) {
			b[i] = v
		} else if v != fill {
			return nil, fmt.Errorf("int of %d bytes: want a number of at most 64 bits", len(data))
		}
	}
	n := int64(binary.LittleEndian.Uint64(b[:]))
	if n < 0 != negative {
		return nil, fmt.Errorf("int of %d bytes: want a number of at most 64 bits", len(data))
	}
	return n, nil
}

// text reads a str or bytes.
func (m *machine) text(op byte) (any, error) {
	size := 1
	switch op {
	case 'S', 'V':
		line, err := m.line()
		if err != nil {
			return nil, err
		}
		if op == 'V' {
			return unescapeUnicode(line)
		}
		return unescapeString(line)
	case 'T', 'X', 'B':
		size = 4
	case 0x8d, 0x8e, 0x96:
		size = 8
	}
	data, err := m.bytes(size)
	if err != nil {
		return nil, err
	}
	switch op {
	case 'B', 'C', 0x8e, 0x96:
		return data, nil
	}
	return string(data), m.charge(int64(len(data)))
}

// unescapeString returns the text of a literal of a str in Python 2.
func unescapeString(line string) (string, error) {
	n := len(line)
	if n < 2 || line[0] != line[n-1] || line[0] != '\'' && line[0] != '"' {
		return "", fmt.Errorf("str %.40q: want it in quotes", line)
	}
	line = line[1 : n-1]
	if strings.IndexByte(line, '\\') < 0 {
		return line, nil
	}
	text := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			text = append(text, line[i])
			continue
		}
		i++
		if i == len(line) {
			return "", errors.New("str that ends with a backslash: want a character after it")
		}
		switch line[i] {
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'x':
			v, err := strconv.ParseUint(line[min(i+1, len(line)):min(i+3, len(line))], 16, 8)
			if err != nil {
				return "", errors.New(`str with an invalid \x: want two hexadecimal digits`)
			}
			text = append(text, byte(v))
			i += 2
		case '\\', '\'', '"':
			text = append(text, line[i])
		default:
			return "", fmt.Errorf("str with an unknown \\%c: want a literal as Python writes it", line[i])
		}
	}
	return string(text), nil
}

// unescapeUnicode returns the text of Python's raw-unicode-escape: ISO 8859-1 with \u and \U.
func unescapeUnicode(line string) (string, error) {
	text := make([]byte, 0, len(line))
	for i := 0; i < len(line); i++ {
		digits := 0
		if line[i] == '\\' && i+1 < len(line) {
			digits = map[byte]int{'u': 4, 'U': 8}[line[i+1]]
		}
		if digits == 0 {
			text = utf8.AppendRune(text, rune(line[i]))
			continue
		}
		v, err := strconv.ParseUint(line[i+2:min(i+2+digits, len(line))], 16, 32)
		if err != nil || v > utf8.MaxRune {
			return "", errors.New(`str with an invalid \u: want hexadecimal digits`)
		}
		text = utf8.AppendRune(text, rune(v))
		i += 1 + digits
	}
	return string(text), nil
}

// container pushes a new container.
func (m *machine) container(op byte) error {
	var items []any
	var err error
	switch op {
	case 0x85, 0x86, 0x87:
		items, err = m.pop(int(op) - 0x84)
	case 't', 'l', 'd', 0x91:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	if op == '}' || op == 'd' {
		d := &Dict{}
		if err := m.charge(64); err != nil {
			return err
		}
		if err := m.set(d, items); err != nil {
			return err
		}
		return m.push(d)
	}
	l, err := m.newList(items)
	if err != nil {
		return err
	}
	return m.push(l)
}

func (m *machine) newList(items []any) (*List, error) {
	l := &List{}
	if err := m.charge(48); err != nil {
		return nil, err
	}
	return l, m.add(l, items)
}

// add appends items to a list.
func (m *machine) add(l *List, items []any) error {
	if len(items) == 0 {
		return nil
	}
	if len(l.items) == 0 && !slices.ContainsFunc(items, func(v any) bool { _, ok := Number(v); return !ok }) {
		n := len(l.numbers) + len(items)
		if cap(l.numbers) < n {
			l.numbers = slices.Grow(l.numbers, max(len(items), len(l.numbers)/4))
			if err := m.charge(8 * int64(cap(l.numbers)-len(l.numbers))); err != nil {
				return err
			}
		}
		for _, v := range items {
			f, _ := Number(v)
			l.numbers = append(l.numbers, f)
		}
		return nil
	}
	if err := m.charge(24 * int64(len(l.numbers)+len(items))); err != nil {
		return err
	}
	for _, f := range l.numbers {
		l.items = append(l.items, f)
	}
	l.numbers = nil
	l.items = append(l.items, items...)
	return nil
}

// Number returns an int or a float that a float64 represents exactly.
func Number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), v > -1<<53 && v < 1<<53
	}
	return 0, false
}

// set sets items of a dictionary: keys and values in turn.
func (m *machine) set(d *Dict, items []any) error {
	if len(items)%2 != 0 {
		return errStack
	}
	if err := m.charge(16 * int64(len(items))); err != nil {
		return err
	}
	for i := 0; i < len(items); i += 2 {
		d.Keys = append(d.Keys, items[i])
		d.Values = append(d.Values, items[i+1])
	}
	return nil
}

// fill adds items to the container below them on the stack.
func (m *machine) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'a':
		items, err = m.pop(1)
	case 's':
		items, err = m.pop(2)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	to, err := m.top()
	if err != nil {
		return err
	}
	dict := op == 's' || op == 'u'
	switch to := to.(type) {
	case *List:
		if !dict {
			return m.add(to, items)
		}
	case *Dict:
		if dict {
			return m.set(to, items)
		}
	}
	return errors.New("items for something that is no container: want a list, a set or a dictionary")
}

// memoize stores the top of the stack in the memo, or pushes a value from it.
func (m *machine) memoize(op byte) error {
	var n uint64
	var err error
	switch op {
	case 'g', 'p':
		var text string
		if text, err = m.line(); err == nil {
			if n, err = strconv.ParseUint(text, 10, 32); err != nil {
				err = fmt.Errorf("memo entry %.40q: want a number", text)
			}
		}
	case 'h', 'q':
		n, err = m.uint(1)
	case 'j', 'r':
		n, err = m.uint(4)
	default:
		n = uint64(len(m.memo) + len(m.sparse))
	}
	if err != nil {
		return err
	}
	if op == 'g' || op == 'h' || op == 'j' {
		if n < uint64(len(m.memo)) {
			return m.push(m.memo[n])
		}
		v, ok := m.sparse[uint32(n)]
		if !ok {
			return fmt.Errorf("memo entry %d: want one that was stored before", n)
		}
		return m.push(v)
	}
	v, err := m.top()
	switch {
	case err != nil:
		return err
	case n < uint64(len(m.memo)):
		m.memo[n] = v
		return nil
	case n == uint64(len(m.memo)) && len(m.sparse) == 0:
		m.memo = append(m.memo, v)
		return m.charge(16)
	}
	if m.sparse == nil {
		m.sparse = map[uint32]any{}
	}
	m.sparse[uint32(n)] = v
	return m.charge(64)
}

// bytesOf returns bytes, also those of a str of Python 2.
func (m *machine) bytesOf(v any) ([]byte, bool, error) {
	switch v := v.(type) {
	case []byte:
		return v, true, nil
	case string:
		return []byte(v), true, m.charge(int64(len(v)))
	}
	return nil, false, nil
}

// latin1 returns the bytes of a text in ISO 8859-1.
func latin1(s string) ([]byte, error) {
	data := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, fmt.Errorf("character %q in bytes: want a text in ISO 8859-1", r)
		}
		data = append(data, byte(r))
	}
	return slices.Clip(data), nil
}
