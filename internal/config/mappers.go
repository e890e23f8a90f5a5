package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// mappers are the mappers that report what a flag wants. Of other mappers, and of
// UnmarshalText, the text of an error must be what the flag wants.
func mappers() []kong.Option {
	whole := integer{"a whole number", "", func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) }}
	return []kong.Option{
		kong.KindMapper(reflect.String, kong.MapperFunc(decodeString)),
		kong.KindMapper(reflect.Int, whole),
		kong.KindMapper(reflect.Int64, whole),
		kong.KindMapper(reflect.Float64, float{}),
		kong.KindMapper(reflect.Bool, kong.MapperFunc(decodeBool)),
		kong.TypeMapper(reflect.TypeFor[ByteSize](), integer{
			"a number of bytes", ", such as 1000000, 500MB or 64MiB",
			func(text string) (int64, error) { n, err := parseByteSize(text); return int64(n), err },
		}),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), integer{
			"a duration", ", such as 500ms or 1m30s",
			func(text string) (int64, error) { d, err := time.ParseDuration(text); return int64(d), err },
		}),
	}
}

// decodeString is a mapper to strings. Kong's own replaces what is not UTF-8, which names of files may
// contain.
func decodeString(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	target.SetString(token.String())
	return nil
}

// integer is a mapper to a type whose kind is an integer. It reads the tags min, max and auto.
type integer struct {
	noun     string
	examples string
	parse    func(text string) (int64, error)
}

// Decode implements kong.Mapper.
func (m integer) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("value", &text); err != nil {
		return err
	}
	tag := ctx.Value.Tag
	if tag.Has("auto") && text == "auto" {
		target.SetInt(m.tagValue(tag, "auto"))
		return nil
	}
	n, err := m.parse(text)
	switch {
	case err != nil,
		target.OverflowInt(n),
		tag.Has("min") && n < m.tagValue(tag, "min"),
		tag.Has("max") && n > m.tagValue(tag, "max"):
		return errors.New(m.want(tag))
	}
	target.SetInt(n)
	return nil
}

// tagValue panics if the tag is malformed, which any use of its flag shows.
func (m integer) tagValue(tag *kong.Tag, key string) int64 {
	n, err := m.parse(tag.Get(key))
	if err != nil {
		panic(fmt.Sprintf("config: tag %s:%q: %v", key, tag.Get(key), err))
	}
	return n
}

func (m integer) want(tag *kong.Tag) string {
	want := m.noun
	switch low, high := tag.Get("min"), tag.Get("max"); {
	case low != "" && high != "":
		want += " from " + low + " to " + high
	case low != "":
		want += " of at least " + low
	}
	want += m.examples
	if tag.Has("auto") {
		want = "auto, or " + want
	}
	return want
}

func decodeBool(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("value", &text); err != nil {
		return err
	}
	switch strings.ToLower(text) {
	case "true", "yes", "1":
		target.SetBool(true)
	case "false", "no", "0":
		target.SetBool(false)
	default:
		return errors.New("true or false")
	}
	return nil
}

// float is a mapper to float64. It reads the tags min and max, of which a flag has both or none.
type float struct{}

// Decode implements kong.Mapper.
func (m float) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("value", &text); err != nil {
		return err
	}
	tag := ctx.Value.Tag
	v, err := strconv.ParseFloat(text, 64)
	if tag.Has("min") {
		if !(v >= m.tagValue(tag, "min") && v <= m.tagValue(tag, "max")) {
			err = strconv.ErrRange
		}
		if err != nil {
			return errors.New("a number from " + tag.Get("min") + " to " + tag.Get("max"))
		}
	}
	if err != nil {
		return errors.New("a number")
	}
	target.SetFloat(v)
	return nil
}

// tagValue panics if the tag is malformed, which any use of its flag shows.
func (float) tagValue(tag *kong.Tag, key string) float64 {
	v, err := strconv.ParseFloat(tag.Get(key), 64)
	if err != nil {
		panic(fmt.Sprintf("config: tag %s:%q: %v", key, tag.Get(key), err))
	}
	return v
}

// A ByteSize is a number of bytes. As a flag it is written 1000000, 500MB or 64MiB.
type ByteSize int64

var byteUnits = map[string]int64{
	"": 1, "B": 1,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

func parseByteSize(text string) (ByteSize, error) {
	digits := strings.TrimRight(text, "kKMGTiB")
	unit, ok := byteUnits[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, strconv.ErrSyntax
	}
	return ByteSize(n * unit), nil
}

// String returns the size in the largest binary unit that it is a multiple of.
func (b ByteSize) String() string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n := int64(b); n != 0 && n%byteUnits[unit] == 0 {
			return strconv.FormatInt(n/byteUnits[unit], 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
