// Package config extends package kong for programs that are configured by flags, environment
// variables and a file.
//
// A setting is a flag with an env tag. Precedence: command line, environment, file, default.
// All invalid values are reported together, each with its source, including values that are
// overridden:
//
//	--workers "x": want a whole number from 1 to 1024
//	PROPOSER_QUEUE="-3": want a whole number from 0 to 65536
//	proposer.yaml:12: queue "-3": want a whole number from 0 to 65536
//
// Kong alone stops at the first invalid value, and does not record where a value came from.
// [Settings] therefore wraps the mapper of each flag. Everything else is kong's: flags are
// fields with tags, the file is a kong.Resolver.
//
// Mappers of numbers, durations and sizes read three more tags:
//
//	min, max  bounds, written as a value of the flag
//	auto      the number that the value "auto" stands for
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// Prefix is the first part of every setting's environment variable.
const Prefix = "PROPOSER_"

// Origin is the place that a value was read from. The zero value is the default.
type Origin struct {
	flag, env, file string // at most one is not empty
	line            int    // in file
}

// String returns the origin as users know it, such as --queue, PROPOSER_QUEUE,
// proposer.yaml:12 or default.
func (o Origin) String() string {
	switch {
	case o.flag != "":
		return o.flag
	case o.env != "":
		return o.env
	case o.file != "":
		return o.file + ":" + strconv.Itoa(o.line)
	}
	return "default"
}

// An Error reports an invalid value.
type Error struct {
	Origin Origin
	Name   string // of the flag, without dashes
	Value  string
	Want   string
}

func (e *Error) Error() string {
	value := strconv.Quote(e.Value)
	if len(value) > 200 {
		value = strconv.Quote(strings.ToValidUTF8(e.Value[:100], "")) + "…"
	}
	switch {
	case e.Origin.flag != "":
		value = e.Origin.flag + " " + value
	case e.Origin.env != "":
		value = e.Origin.env + "=" + value
	default:
		value = e.Origin.String() + ": " + e.Name + " " + value
	}
	return value + ": want " + e.Want
}

// value is the text of a valid value.
type value struct {
	text   string
	origin Origin
}

// Settings records the values of flags while kong parses them. A Settings is for one parser and
// one call of its Parse method. It is bound to the parser, so hooks and Run methods can take it.
type Settings struct {
	ctx      *kong.Context // nil while kong reads the command line
	file     *file         // nil until the file is read
	values   map[*kong.Flag]value
	flagErrs map[*kong.Flag][]error
	envErrs  map[*kong.Flag][]error
	added    []error
}

// New returns empty settings.
func New() *Settings {
	return &Settings{
		values:   map[*kong.Flag]value{},
		flagErrs: map[*kong.Flag][]error{},
		envErrs:  map[*kong.Flag][]error{},
	}
}

// Options returns the options that connect the settings with a parser.
func (s *Settings) Options() []kong.Option {
	return append(
		mappers(),
		kong.PostBuild(func(k *kong.Kong) error { s.wrapMappers(k.Model.Node); return nil }),
		kong.WithBeforeReset(func(ctx *kong.Context) error { s.ctx = ctx; return nil }),
		kong.ValueFormatter(formatHelp),
		kong.Bind(s),
	)
}

func (s *Settings) wrapMappers(node *kong.Node) {
	for _, flag := range node.Flags {
		flag.Mapper = &recorder{flag.Mapper, flag, s}
	}
	for _, child := range node.Children {
		s.wrapMappers(child)
	}
}

// recorder is the mapper of a flag. It records valid values and errors, and decodes the default
// in place of an invalid value, so that kong goes on.
type recorder struct {
	kong.Mapper
	flag     *kong.Flag
	settings *Settings
}

// Decode implements kong.Mapper. The only errors are those about a missing value.
func (r *recorder) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Peek()
	switch {
	case r.flag.IsBool() && token.Type != kong.FlagValueToken:
		// What follows --flag, unlike --flag=false, is not its value.
		ctx.Scan.PushTyped("true", kong.FlagValueToken)
		token = ctx.Scan.Peek()
	case !token.IsValue():
		// Kong takes everything that begins with a dash for a flag.
		arg, _ := token.Value.(string)
		switch {
		case token.IsEOL():
			return errors.New("want a value")
		case !isNegative(arg):
			return fmt.Errorf("want a value before %[2]s: if %[2]s is the value, write --%[1]s=%[2]s", r.flag.Name, arg)
		}
		ctx.Scan.Pop()
		ctx.Scan.PushTyped(arg, kong.FlagValueToken)
		token = ctx.Scan.Peek()
	}
	text := token.String()
	origin := r.settings.origin(r.flag)
	want := r.decode(ctx, target)
	if want == "" {
		r.settings.record(r.flag, value{text, origin})
		return nil
	}
	if origin == (Origin{}) {
		panic(fmt.Sprintf("config: default %q of --%s: want %s", text, r.flag.Name, want))
	}
	err := &Error{origin, r.flag.Name, text, want}
	if origin.flag != "" {
		r.settings.flagErrs[r.flag] = append(r.settings.flagErrs[r.flag], err)
	} else {
		r.settings.envErrs[r.flag] = append(r.settings.envErrs[r.flag], err)
	}
	target.SetZero()
	if r.flag.HasDefault {
		r.decode(ctx.WithScanner(scan(r.flag.Default)), target)
	}
	return nil
}

// decode decodes the next token. If it is invalid, decode returns what the flag wants instead.
func (r *recorder) decode(ctx *kong.DecodeContext, target reflect.Value) (want string) {
	text := ctx.Scan.Peek().String()
	if !utf8.ValidString(text) && len(r.flag.Envs) > 0 { // Print could not write it
		ctx.Scan.Pop()
		return "text in UTF-8"
	}
	if err := r.Mapper.Decode(ctx, target); err != nil {
		return err.Error()
	}
	if r.flag.Enum != "" && target.Kind() == reflect.String && !r.flag.EnumMap()[text] {
		return "one of " + strings.Join(r.flag.EnumSlice(), ", ")
	}
	return ""
}

// isNegative reports whether an argument begins as a negative number does. No flag does.
func isNegative(arg string) bool {
	number, ok := strings.CutPrefix(arg, "-")
	return ok && number != "" && (strings.Contains("0123456789.", number[:1]) || strings.EqualFold(number, "inf"))
}

func scan(text string) *kong.Scanner { return kong.ScanAsType(kong.FlagValueToken, text) }

// origin returns the place that kong is reading the flag from. Kong reads the command line,
// then of each flag its variable or its default, then the file.
func (s *Settings) origin(flag *kong.Flag) Origin {
	if s.ctx == nil {
		return Origin{flag: "--" + flag.Name}
	}
	if name, ok := setEnv(flag); ok {
		return Origin{env: name}
	}
	if s.file != nil {
		if e, ok := s.file.entries[flag]; ok {
			return e.origin
		}
	}
	return Origin{}
}

// setEnv returns the flag's environment variable that is set.
func setEnv(flag *kong.Flag) (name string, ok bool) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return name, true
		}
	}
	return "", false
}

// record keeps a valid value, unless it is overridden by one from the command line.
func (s *Settings) record(flag *kong.Flag, v value) {
	if old, ok := s.values[flag]; ok && old.origin.flag != "" && v.origin.flag == "" {
		return
	}
	s.values[flag] = v
}

// Err returns all errors of the selected command: of the command line, of the environment, of
// the file, and those of Add.
func (s *Settings) Err() error {
	if s.ctx == nil {
		return nil // kong could not read the command line, and says so
	}
	var errs []error
	for _, flag := range s.ctx.Flags() {
		errs = append(errs, s.flagErrs[flag]...)
	}
	for _, flag := range s.ctx.Flags() {
		errs = append(errs, s.envErrs[flag]...)
	}
	if s.file != nil {
		errs = append(errs, s.file.errs...)
	}
	return errors.Join(append(errs, s.added...)...)
}

// Add adds an error to Err. It does nothing if err is nil.
func (s *Settings) Add(err error) {
	if err != nil {
		s.added = append(s.added, err)
	}
}

// Wrong returns the error that the named flag's value, valid by itself, cannot be used.
func (s *Settings) Wrong(name, want string) *Error {
	v := s.find(name)
	return &Error{v.origin, name, v.text, want}
}

// Text returns the named flag's value as it was written.
func (s *Settings) Text(name string) string { return s.find(name).text }

func (s *Settings) find(name string) value {
	for _, flag := range s.ctx.Flags() {
		if flag.Name == name {
			return s.values[flag]
		}
	}
	panic("config: no flag --" + name)
}

// fileSettings returns the flags that a file can set: those with a variable, except for the one
// that names the file.
func (s *Settings) fileSettings() []*kong.Flag {
	var settings []*kong.Flag
	for _, flag := range s.ctx.Flags() {
		if len(flag.Envs) > 0 && flag.Target.Type() != reflect.TypeFor[File]() {
			settings = append(settings, flag)
		}
	}
	return settings
}

// Print writes the settings as a file for --config. A comment on each line names the origin,
// followed by the note for the setting, if there is one.
func (s *Settings) Print(w io.Writer, notes map[string]string) error {
	var text strings.Builder
	for _, flag := range s.fileSettings() {
		v := s.values[flag]
		fmt.Fprintf(&text, "%s: %s  # %s", flag.Name, scalar(v.text), comment(v.origin.String()))
		if note := notes[flag.Name]; note != "" {
			fmt.Fprintf(&text, "; %s", comment(note))
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// plainScalar matches strings that YAML reads as they are, except for null.
var plainScalar = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/._-]*$`)

// scalar returns text as a YAML scalar.
func scalar(text string) string {
	if plainScalar.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(text) // YAML has all of Go's escapes
}

// comment returns text, quoted if it could end the line that it is in.
func comment(text string) string {
	quoted := strconv.Quote(text)
	if quoted == `"`+text+`"` {
		return text
	}
	return quoted
}

// serviceLinks matches what Kubernetes adds to the environment of containers in a namespace with
// a Service whose name begins with "proposer".
var serviceLinks = regexp.MustCompile(`^` + Prefix +
	`(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT=\w+://|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=)`)

// UnknownEnv returns a warning for each environment variable, of the form NAME=VALUE, that looks
// like a setting but is none.
func (s *Settings) UnknownEnv(environ []string) (warnings []string) {
	var names []string
	for _, flag := range s.ctx.Flags() {
		names = append(names, flag.Envs...)
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, Prefix) && !serviceLinks.MatchString(entry) {
			if warning := unknown(name, names); warning != "" {
				warnings = append(warnings, warning)
			}
		}
	}
	return warnings
}

// formatHelp appends the environment variable to a flag's help, and the default if the
// placeholder does not show it.
func formatHelp(v *kong.Value) string {
	var facts []string
	if v.Flag != nil && v.HasDefault && v.Flag.PlaceHolder != "" {
		facts = append(facts, "default "+v.Default)
	}
	facts = append(facts, v.Tag.Envs...)
	if len(facts) == 0 {
		return v.Help
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(facts, ", ") + ")."
}
