package pickle

import (
	"errors"
	"fmt"
	"strings"

	"github.com/proposer/proposer/internal/npy"
)

// names are the functions and classes that are known, by their names. NumPy 2 has renamed numpy.core,
// Python 3 __builtin__ and copy_reg.
var names = map[string]global{
	"numpy.core.multiarray._reconstruct":  "_reconstruct",
	"numpy._core.multiarray._reconstruct": "_reconstruct",
	"numpy.core.multiarray.scalar":        "scalar",
	"numpy._core.multiarray.scalar":       "scalar",
	"numpy.core.numeric._frombuffer":      "_frombuffer",
	"numpy._core.numeric._frombuffer":     "_frombuffer",
	"numpy.ndarray":                       "ndarray",
	"numpy.dtype":                         "dtype",
	"_codecs.encode":                      "encode",
	"copy_reg._reconstructor":             "_reconstructor",
	"copyreg._reconstructor":              "_reconstructor",
	"collections.OrderedDict":             "dict",
	"collections.defaultdict":             "defaultdict",
	"detectron2.structures.boxes.BoxMode": "BoxMode",
}

func init() {
	for _, module := range []string{"builtins.", "__builtin__."} {
		for name, to := range map[string]global{
			"dict": "dict", "list": "list", "tuple": "list", "set": "list", "frozenset": "list",
			"bytes": "bytes", "bytearray": "bytes", "object": "object",
		} {
			names[module+name] = to
		}
	}
}

// object executes an operation with functions and classes.
func (m *machine) object(op byte) error {
	var f, argument any
	switch op {
	case 'c':
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		if err != nil {
			return err
		}
		return m.pushGlobal(module, name)
	case 0x93:
		parts, err := m.pop(2)
		if err != nil {
			return err
		}
		module, ok := parts[0].(string)
		name, ok2 := parts[1].(string)
		if !ok || !ok2 {
			return errStack
		}
		return m.pushGlobal(module, name)
	case 'i':
		return errors.New("an instance of a class of Python 2: want containers, numbers, strings and NumPy arrays")
	case 'o':
		return errors.New("an object of a class: want containers, numbers, strings and NumPy arrays")
	case 0x92:
		if _, err := m.pop(1); err != nil { // keyword arguments
			return err
		}
	}
	operands, err := m.pop(2)
	if err != nil {
		return err
	}
	f, argument = operands[0], operands[1]
	if op == 'b' {
		if err := m.build(f, argument); err != nil {
			return err
		}
		return m.push(f)
	}
	args, ok := argument.(*List)
	if !ok {
		return errStack
	}
	function, ok := f.(global)
	if !ok {
		return errors.New("a call of something that is no function: want a pickle as Python writes it")
	}
	if err := m.charge(128); err != nil {
		return err
	}
	v, err := m.call(function, args)
	if err != nil {
		return err
	}
	return m.push(v)
}

func (m *machine) pushGlobal(module, name string) error {
	full := module + "." + name
	if g, ok := names[full]; ok {
		return m.push(g)
	}
	if isObjectClass(full) {
		return m.push(global(full))
	}
	if strings.HasPrefix(full, "torch.") {
		return fmt.Errorf("%.100s: PyTorch tensors: want NumPy arrays, tensor.numpy()", full)
	}
	return fmt.Errorf("%.100s: only containers, numbers, strings and NumPy arrays are read: want a pickle without it", full)
}

// call returns what a known function returns.
func (m *machine) call(f global, args *List) (any, error) {
	argument := func(i int) any {
		if i < args.Len() {
			return args.At(i)
		}
		return nil
	}
	invalid := fmt.Errorf("arguments of %s: want those that Python writes", f)
	switch f {
	case "_reconstruct":
		return &Array{}, nil
	case "dtype":
		descr, ok := argument(0).(string)
		if !ok {
			return nil, invalid
		}
		t, err := npy.ParseType(descr)
		if err != nil {
			return nil, err
		}
		return &dtype{t}, nil
	case "scalar":
		t, ok := argument(0).(*dtype)
		data, isBytes, err := m.bytesOf(argument(1))
		if err != nil {
			return nil, err
		}
		if !ok || !isBytes || t.Kind == 'O' || len(data) != t.Size {
			return nil, invalid
		}
		return element(t.Type, data), nil
	case "_frombuffer":
		return m.fromBuffer(argument(0), argument(1), argument(2), argument(3))
	case "encode":
		text, ok := argument(0).(string)
		encoding, ok2 := argument(1).(string)
		if !ok || !ok2 || encoding != "latin1" && encoding != "latin-1" {
			return nil, invalid
		}
		if err := m.charge(int64(len(text))); err != nil {
			return nil, err
		}
		return latin1(text)
	case "bytes":
		if args.Len() == 0 {
			return []byte{}, nil
		}
		text, ok := argument(0).(string)
		if data, isBytes := argument(0).([]byte); isBytes {
			return data, nil
		}
		if !ok {
			return nil, invalid
		}
		if err := m.charge(int64(len(text))); err != nil {
			return nil, err
		}
		if argument(1) == nil {
			return []byte(text), nil // a str of Python 2
		}
		return latin1(text)
	case "list":
		items, ok := argument(0).(*List)
		if args.Len() > 0 && !ok {
			return nil, invalid
		}
		l, err := m.newList(nil)
		if err != nil || items == nil {
			return l, err
		}
		if numbers, ok := items.Numbers(); ok {
			if err := m.charge(8 * int64(len(numbers))); err != nil {
				return nil, err
			}
			l.numbers = append(l.numbers, numbers...)
			return l, nil
		}
		return l, m.add(l, items.items)
	case "dict", "defaultdict":
		d := &Dict{}
		items, ok := argument(0).(*List)
		if !ok || f == "defaultdict" {
			return d, nil
		}
		for i := range items.Len() { // pairs, as Python 2 writes them
			pair, ok := items.At(i).(*List)
			if !ok || pair.Len() != 2 {
				return nil, invalid
			}
			if err := m.set(d, []any{pair.At(0), pair.At(1)}); err != nil {
				return nil, err
			}
		}
		return d, nil
	case "BoxMode":
		return argument(0), nil
	case "_reconstructor":
		class, ok := argument(0).(global)
		if !ok {
			return nil, invalid
		}
		return m.call(class, &List{})
	}
	if isObjectClass(string(f)) {
		return &Object{Class: string(f), Attributes: &Dict{}}, nil
	}
	return nil, fmt.Errorf("a call of %s: want a pickle as Python writes it", f)
}

// element returns an element of an array.
func element(t npy.Type, data []byte) any {
	if !t.IsNumber() {
		return t.Text(data)
	}
	if n, ok := t.Int(data); ok {
		return n
	}
	return t.Float(data)
}

// build sets the state of an object.
func (m *machine) build(object, state any) error {
	values, _ := state.(*List)
	switch object := object.(type) {
	case *Array:
		if values == nil || values.Len() != 5 {
			return errors.New("the state of an array: want five values")
		}
		fortran, _ := values.At(3).(bool)
		if n, ok := Number(values.At(3)); ok {
			fortran = n != 0
		}
		return m.setArray(object, values.At(1), values.At(2), fortran, values.At(4))
	case *dtype:
		if values == nil || values.Len() < 2 {
			return errors.New("the state of a type: want a byte order")
		}
		order, ok := values.At(1).(string)
		if raw, isBytes := values.At(1).([]byte); isBytes {
			order, ok = string(raw), true
		}
		if !ok || len(order) != 1 || !strings.Contains("<>|=", order) {
			return errors.New("the state of a type: want a byte order")
		}
		object.BigEndian = order == ">"
		return nil
	case *Object:
		if d, ok := state.(*Dict); ok {
			object.Attributes = d
			return nil
		}
	case *Dict:
		return nil // attributes of an OrderedDict
	}
	return errors.New("the state of an object of no known class: want containers, numbers, strings and NumPy arrays")
}

// setArray sets the contents of an array.
func (m *machine) setArray(a *Array, shape, kind any, fortran bool, data any) error {
	sides, ok := shape.(*List)
	t, ok2 := kind.(*dtype)
	if !ok || !ok2 {
		return errors.New("an array without shape or type: want those that NumPy writes")
	}
	numbers, ok := sides.Numbers()
	if !ok || len(numbers) > 8 {
		return errors.New("the shape of an array: want integers")
	}
	a.Type, a.Fortran, a.Shape = t.Type, fortran, nil
	for _, side := range numbers {
		a.Shape = append(a.Shape, int(max(-1, min(side, 1<<32))))
	}
	if err := npy.CheckShape(a.Shape); err != nil {
		return err
	}
	n := (&npy.Header{Shape: a.Shape}).Elements()
	if t.Kind == 'O' {
		if a.Objects, ok = data.(*List); !ok || int64(a.Objects.Len()) != n {
			return fmt.Errorf("an array of shape %v: want %d objects", a.Shape, n)
		}
		return nil
	}
	var err error
	a.Data, ok, err = m.bytesOf(data)
	if err != nil {
		return err
	}
	if !ok || float64(len(a.Data)) != float64(n)*float64(t.Size) {
		return fmt.Errorf("an array of shape %v with %d bytes: want %d of %d bytes each", a.Shape, len(a.Data), n, t.Size)
	}
	return nil
}

// fromBuffer returns an array as protocol 5 has it.
func (m *machine) fromBuffer(data, kind, shape, order any) (any, error) {
	a := &Array{}
	return a, m.setArray(a, shape, kind, order == "F", data)
}

// Len returns the number of elements along the first dimension.
func (a *Array) Len() int {
	if len(a.Shape) == 0 {
		return 0
	}
	return a.Shape[0]
}

// At returns an element of an array of one dimension.
func (a *Array) At(i int) any {
	if a.Type.Kind == 'O' {
		return a.Objects.At(i)
	}
	return element(a.Type, a.Data[i*a.Type.Size:])
}
