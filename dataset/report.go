package dataset

import "fmt"

// Skipped counts the entries that were left out for one reason.
type Skipped struct {
	Reason string // such as "annotations with a negative side"
	Count  int
	First  string // the first of them and what is wrong with it
}

// String returns a line for people.
func (s Skipped) String() string {
	return fmt.Sprintf("skipped %s: %d, the first is %s", s.Reason, s.Count, s.First)
}

// Warning counts the entries that were read, but may not mean what they say, for one reason.
type Warning Skipped

// String returns a line for people.
func (w Warning) String() string {
	return fmt.Sprintf("%s: %d, the first is %s", w.Reason, w.Count, w.First)
}

// report collects what is wrong with a data set.
type report struct {
	strict   bool
	file     string // of the entries, if there are several
	skipped  []Skipped
	warnings []Warning
}

// again counts an entry that is left out for a reason that is known already, and reports whether it
// did. It saves the description of the entry.
func (r *report) again(reason string) bool {
	for i := range r.skipped {
		if r.skipped[i].Reason == reason {
			r.skipped[i].Count++
			return true
		}
	}
	return false
}

// skip counts an entry that is left out. It returns an *Error if the reader is strict.
func (r *report) skip(reason, entry string, err error) error {
	if r.strict {
		return &Error{File: r.file, Entry: entry, Err: err}
	}
	if r.again(reason) {
		return nil
	}
	r.skipped = append(r.skipped, Skipped{reason, 1, r.first(entry, err)})
	return nil
}

// warn counts an entry that is read nevertheless. It returns an *Error if the reader is strict.
func (r *report) warn(reason, entry string, err error) error {
	if r.strict {
		return &Error{File: r.file, Entry: entry, Err: err}
	}
	r.note(reason, entry, err)
	return nil
}

// note counts an entry that is read, also if the reader is strict.
func (r *report) note(reason, entry string, err error) {
	for i := range r.warnings {
		if r.warnings[i].Reason == reason {
			r.warnings[i].Count++
			return
		}
	}
	r.warnings = append(r.warnings, Warning{reason, 1, r.first(entry, err)})
}

// first describes the first of several entries.
func (r *report) first(entry string, err error) string {
	s := ""
	for _, part := range []string{r.file, entry} {
		if part != "" {
			s += part + ": "
		}
	}
	return s + err.Error()
}
