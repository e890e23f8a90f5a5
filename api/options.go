package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/jsonscan"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
)

// searchOptions names the options of a search. The number of threads is left to the operator.
var searchOptions = slices.DeleteFunc(propose.OptionNames(), func(name string) bool { return name == "threads" })

// maxOptions is the maximum number of options in a query and in a form each. There are fewer than 40.
const maxOptions = 64

// optionValues returns the options in a query string and in the options field of a form, which
// may be empty. An option that is given twice has two values.
func optionValues(rawQuery string, form []byte) (url.Values, *problem) {
	if n := strings.Count(rawQuery, "&") + 1; n > maxOptions {
		return nil, newProblem(http.StatusBadRequest, "request", fmt.Sprintf("the query has %d options", n),
			fieldError{"query", fmt.Sprintf("%d options", n), fmt.Sprintf("at most %d options", maxOptions)})
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, "request", "the query cannot be parsed: "+err.Error(),
			fieldError{"query", rawQuery, "name=value pairs separated by &, percent-encoded"})
	}
	if strings.TrimSpace(string(form)) == "" { // browsers and generated clients send empty fields
		return values, nil
	}
	return values, addFormOptions(values, form)
}

// addFormOptions adds options from a JSON object: strings, numbers, booleans, and lists of them, which
// become texts in the syntax of the query. The text has at most maxOptionBytes.
func addFormOptions(values url.Values, data []byte) *problem {
	fail := func(format string, args ...any) *problem {
		return newProblem(http.StatusBadRequest, "request", "the options field of the form cannot be parsed: "+fmt.Sprintf(format, args...),
			fieldError{"options", "", `a JSON object as in {"mode":"fast","max":100,"colors":["HSV","Lab"]}`})
	}
	var object json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return fail("%v", err)
	}
	// Not decoded to a map, which would hide that an option is repeated.
	scan := jsonscan.New(object)
	if !scan.Consume('{') {
		return fail("it is not an object")
	}
	for n := 1; !scan.Consume('}'); n++ {
		if n > maxOptions {
			return fail("it has more than %d options", maxOptions)
		}
		name := jsonscan.Unquote(scan.Value())
		scan.Consume(':')
		text, ok := optionText(&scan)
		if !ok {
			return fail("%.40q is not a string, a number, a boolean or a list of these", name)
		}
		values.Add(name, text)
		scan.Consume(',')
	}
	return nil
}

// optionText consumes a JSON value and returns it in the syntax of the query.
func optionText(scan *jsonscan.Scanner) (text string, ok bool) {
	var items []string
	scalar := func() error {
		switch scan.Peek() {
		case '{', '[', 'n':
			return strconv.ErrSyntax
		case '"':
			items = append(items, jsonscan.Unquote(scan.Value()))
		default:
			items = append(items, string(scan.Value()))
		}
		return nil
	}
	var err error
	if scan.Peek() == '[' {
		err = scan.Array(scalar)
	} else {
		err = scalar()
	}
	return strings.Join(items, ","), err == nil
}

// newSearchParser returns a parser of the options of a search and others with the given names. If
// there is no max option, it is set to defaultMax.
func (s *Server) newSearchParser(values url.Values, names []string, defaultMax int) *optparse.Parser {
	if !values.Has("max") {
		limit := cmp.Or(s.cfg.MaxBoxes, defaultMax)
		values.Set("max", strconv.Itoa(min(defaultMax, limit)))
	}
	return newOptionParser(values, names)
}

// newOptionParser returns a parser of options with the given names. It rejects unknown names and
// repeated options.
func newOptionParser(values url.Values, names []string) *optparse.Parser {
	single := make(map[string]string, len(values))
	var repeated []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			repeated = append(repeated, name)
			continue
		}
		single[name] = values[name][0]
	}
	p := optparse.New(single, names)
	for _, name := range repeated {
		p.Fail(name, strings.Join(values[name], ", "), "one value")
	}
	return p
}

// readSearchOptions reads the options of a search. The problem lists every error of the parser,
// including those of options that were read before. canonical is equal for requests with equal
// search options.
func (s *Server) readSearchOptions(p *optparse.Parser) (opts propose.Options, canonical string, prob *problem) {
	opts, err := propose.ReadOptions(p)
	if limit := s.cfg.MaxBoxes; err == nil && limit > 0 && (opts.Search.Max == 0 || opts.Search.Max > limit) {
		p.Fail("max", strconv.Itoa(opts.Search.Max), fmt.Sprintf("a whole number from 1 to %d", limit))
		err = p.Err()
	}
	if err != nil {
		return propose.Options{}, "", optionProblem(err)
	}
	canonical = canonicalOptions(opts.Values())

	opts.Decode.Limits = s.cfg.limits()
	opts.Search.Threads = s.cfg.Threads
	s.cfg.limitRegions(&opts.Search)
	if s.cfg.Ranker != nil {
		opts.Search.Ranker = s.cfg.Ranker
	}
	return opts, canonical, nil
}
