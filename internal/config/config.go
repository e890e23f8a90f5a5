// Package config reads what a program is told by flags, by the environment and by a file,
// each by the same names. What is said nearer to the program's start wins: a flag before the
// environment, that before the file, that before the default. All that is wrong is told of at
// once, also where something else wins, and each with the place that it was read from:
//
//	--workers "x": want a whole number from 1 to 1024
//	PROPOSER_QUEUE="-3": want a whole number from 0 to 65536
//	proposer.yaml:12: queue "-3": want a whole number from 0 to 65536
//
// The file is YAML of the simplest kind: lines of the form NAME: VALUE, where the value of a
// list may be a sequence.
package config

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/proposer/proposer/internal/boundedio"
)

// Prefix begins the names in the environment.
const Prefix = "PROPOSER_"

// maxFile bounds the file, in bytes.
const maxFile = 64 << 10

// A Setting is something that a program can be told.
type Setting struct {
	Name    string // of the flag and in the file: lower-case words joined by -
	Hint    string // stands for a value where there is none to show: FILE
	Default string
	Help    string
	List    bool // the file may have a sequence
	// Set keeps what a text says, or tells what it wants instead and keeps nothing.
	Set Parser
}

// Env is the setting's name in the environment.
func (s *Setting) Env() string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// File names the file, as a flag or in the environment.
var File = Setting{Name: "config", Hint: "FILE", Help: "File of settings (YAML): lines NAME: VALUE with the names of the flags."}

// Origin is where a value was read.
type Origin struct {
	flag, env, file string // at most one is not empty
	line            int
}

// String is the origin as a person would write it: --queue, PROPOSER_QUEUE, proposer.yaml:12
// or default.
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

// An Error is a value that cannot be.
type Error struct {
	Origin Origin
	Name   string
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

// said is a value as it was read.
type said struct {
	name, text string
	origin     Origin
}

// Values are the settings and what they came to be.
type Values struct {
	// Warnings are names in the environment that look like settings and are none.
	Warnings []string

	table []Setting
	said  map[string]said
}

// Read tells every setting of the table what it is to be, by Setting.Set: first its default,
// then what is said of it, the last being what wins. The flags are those that were given, by
// their names, and the environment's entries are of the form NAME=VALUE. [File] is read, too,
// and may not be in the table. With an error there are values nevertheless: those that are right.
func Read(table []Setting, flags map[string]string, environ []string) (*Values, error) {
	v := &Values{table: table, said: map[string]said{}}
	for _, s := range table {
		if want := s.Set(s.Default); want != "" {
			panic(fmt.Sprintf("settings: the default of %s is %q: want %s", s.Name, s.Default, want))
		}
		v.said[s.Name] = said{s.Name, s.Default, Origin{}}
	}
	known := append([]Setting{File}, table...)
	fromEnv := v.environment(known, environ)
	var fromFlags []said
	for _, s := range known {
		if text, ok := flags[s.Name]; ok {
			fromFlags = append(fromFlags, said{s.Name, text, Origin{flag: "--" + s.Name}})
		}
	}
	fromFile, errs := readFile(table, append(slices.Clone(fromEnv), fromFlags...))
	errs = append(errs, v.tell(fromFile)...)
	errs = append(v.tell(fromEnv), errs...)
	errs = append(v.tell(fromFlags), errs...)
	return v, errors.Join(errs...)
}

// tell hands each of the values to its setting.
func (v *Values) tell(all []said) (errs []error) {
	for _, one := range all {
		i := slices.IndexFunc(v.table, func(s Setting) bool { return s.Name == one.name })
		if i < 0 {
			continue // File
		}
		want := "text in UTF-8"
		if utf8.ValidString(one.text) {
			want = v.table[i].Set(one.text)
		}
		if want != "" {
			errs = append(errs, &Error{one.origin, one.name, one.text, want})
			continue
		}
		v.said[one.name] = one
	}
	return errs
}

// links are what Kubernetes puts into the environment of every container of a namespace that
// has a Service whose name begins like ours.
var links = regexp.MustCompile(`^` + Prefix + `(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT=\w+://|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=)`)

// environment finds the settings in the environment, and what looks as if it was one.
func (v *Values) environment(known []Setting, environ []string) (found []said) {
	texts := map[string]string{}
	var names []string
	for _, s := range known {
		names = append(names, s.Env())
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		switch {
		case slices.Contains(names, name):
			texts[name] = text
		case strings.HasPrefix(name, Prefix) && !links.MatchString(entry):
			v.Warnings = append(v.Warnings, unknown(name, names))
		}
	}
	for i, s := range known {
		if text, ok := texts[names[i]]; ok {
			found = append(found, said{s.Name, text, Origin{env: names[i]}})
		}
	}
	return found
}

// readFile reads the file that the last of what is said of it names.
func readFile(table []Setting, all []said) ([]said, []error) {
	var file said
	for _, one := range all {
		if one.name == File.Name {
			file = one
		}
	}
	if file.text == "" {
		return nil, nil
	}
	data, _, err := boundedio.ReadFile(file.text, maxFile)
	if err != nil {
		return nil, []error{&Error{file.origin, file.name, file.text, "a file of settings: " + err.Error()}}
	}
	return parse(file.text, data, table)
}

// Text is what a setting came to be, as it was written.
func (v *Values) Text(name string) string { return v.find(name).text }

// Wrong is the error that a value, right by itself, cannot be.
func (v *Values) Wrong(name, want string) error {
	one := v.find(name)
	return &Error{one.origin, name, one.text, want}
}

func (v *Values) find(name string) said {
	one, ok := v.said[name]
	if !ok {
		panic("settings: there is no " + name)
	}
	return one
}

// Print writes the settings as a file that says the same, each with its origin in a comment
// and, where there is one, a note by its name.
func (v *Values) Print(w io.Writer, notes map[string]string) error {
	var text strings.Builder
	for _, s := range v.table {
		one := v.said[s.Name]
		fmt.Fprintf(&text, "%s: %s  # %s", s.Name, scalar(one.text), comment(one.origin.String()))
		if note := notes[s.Name]; note != "" {
			fmt.Fprintf(&text, "; %s", comment(note))
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// plain are texts that YAML takes as they are, but for the words that mean something to it.
var plain = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/._-]*$`)

// scalar is a text as YAML has it.
func scalar(text string) string {
	if plain.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(text) // Go's escapes are YAML's, too
}

// comment is a text that ends where its line does.
func comment(text string) string {
	quoted := strconv.Quote(text)
	if quoted == `"`+text+`"` {
		return text
	}
	return quoted
}

// unknown says that there is no such name, and which might be meant.
func unknown(name string, names []string) string {
	if len(name) > 64 {
		return fmt.Sprintf("%q… is not a setting", strings.ToValidUTF8(name[:64], ""))
	}
	text := fmt.Sprintf("%q is not a setting", name)
	bare := func(name string) string { return strings.ToLower(strings.TrimPrefix(name, Prefix)) }
	best, least := "", len(bare(name))/3+1
	for _, other := range names {
		if d := distance(bare(name), bare(other)); d < least {
			best, least = other, d
		}
	}
	if best != "" {
		text += ": did you mean " + best + "?"
	}
	return text
}

// distance is how many letters one must take out, put in or exchange to come from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
