package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
)

// searchOptions names the options of a search. The number of threads is left to the operator.
var searchOptions = slices.DeleteFunc(propose.OptionNames(), func(name string) bool { return name == "threads" })

// optionValues returns the options in a query string and in the options field of a form, which
// may be nil. An option that is in both has two values.
func optionValues(rawQuery string, form []byte) (url.Values, *problem) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, newProblem(http.StatusBadRequest, "request", "the query cannot be parsed: "+err.Error(),
			fieldError{"query", rawQuery, "name=value pairs separated by &, percent-encoded"})
	}
	if form == nil {
		return values, nil
	}
	fields, p := parseFormOptions(form)
	for name, value := range fields {
		values.Add(name, value)
	}
	return values, p
}

// parseFormOptions reads options from a JSON object: strings, numbers, booleans, and lists of
// them, which become texts in the syntax of the query.
func parseFormOptions(data []byte) (map[string]string, *problem) {
	fail := func(reason string) *problem {
		return newProblem(http.StatusBadRequest, "request", "the options field of the form cannot be parsed: "+reason,
			fieldError{"options", "", `a JSON object as in {"mode":"fast","max":100,"colors":["HSV","Lab"]}`})
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, fail(err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fail("data follows the object")
	}

	values := make(map[string]string, len(object))
	for name, value := range object {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		texts := make([]string, len(list))
		for i, item := range list {
			switch item := item.(type) {
			case string:
				texts[i] = item
			case json.Number:
				texts[i] = item.String()
			case bool:
				texts[i] = strconv.FormatBool(item)
			default:
				return nil, fail(fmt.Sprintf("%q is not a string, a number, a boolean or a list of these", name))
			}
		}
		values[name] = strings.Join(texts, ",")
	}
	return values, nil
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
		return propose.Options{}, "", optionProblem(propose.OptionErrors(err))
	}
	canonical = canonicalOptions(opts.Values())

	opts.Decode.Limits = s.cfg.limits()
	opts.Search.Threads = s.cfg.Threads
	if s.cfg.Ranker != nil {
		opts.Search.Ranker = s.cfg.Ranker
	}
	return opts, canonical, nil
}
