package importer

import (
	"bufio"
	"encoding/json"
	"io"
	"os"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// Skipped is something that was not carried, or not as it was.
type Skipped struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Compared is a figure of the source beside the target's.
type Compared struct {
	// Scope is key or account.
	Scope string `json:"scope"`
	ID    string `json:"id"`
	// Period is total, month, day, or hour where that differs; Bucket is its name.
	Period string        `json:"period"`
	Bucket string        `json:"bucket"`
	Source usage.Figures `json:"source"`
	Target usage.Figures `json:"target"`
	// Explained tells why they may differ.
	Explained string `json:"explained,omitempty"`
}

// Differs tells whether source and target are not the same.
func (c *Compared) Differs() bool {
	return c.countsDiffer() || !sameCost(c.Source.Cost.Decimal(), c.Target.Cost.Decimal())
}

// countsDiffer leaves the cost out.
func (c *Compared) countsDiffer() bool {
	s, t := c.Source, c.Target
	s.Cost, t.Cost = result.Money{}, result.Money{}
	return s != t
}

// Report tells what an import found and did. What it lists may be long, and lies in
// files until Close.
type Report struct {
	// Found counts the source's keys by kind, Imported those that are in the target.
	Found, Imported map[legacy.Kind]int
	// Written counts rows that are new or have changed.
	Written int64
	// SkippedCount, ComparedCount and Unexplained count what is listed.
	SkippedCount, ComparedCount, Unexplained int

	skipped, compared *spool
}

func newReport(dir string) (*Report, error) {
	r := &Report{Found: make(map[legacy.Kind]int), Imported: make(map[legacy.Kind]int)}
	var err error
	if r.skipped, err = newSpool(dir); err != nil {
		return nil, err
	}
	r.compared, err = newSpool(dir)
	return r, err
}

func (r *Report) skip(kind legacy.Kind, id, reason string) error {
	r.SkippedCount++
	name := string(kind)
	if kind == legacy.Foreign {
		name = "foreign"
	}
	return r.skipped.add(Skipped{name, id, reason})
}

func (r *Report) compare(c Compared) error {
	r.ComparedCount++
	if c.Differs() {
		if c.Explained == "" {
			r.Unexplained++
		}
	} else {
		c.Explained = ""
	}
	return r.compared.add(c)
}

// Close removes the lists.
func (r *Report) Close() {
	_ = r.skipped.file.Close()
	_ = r.compared.file.Close()
}

// Each gives what was skipped and what was compared, in order.
func (r *Report) Each(skipped func(Skipped) error, compared func(Compared) error) error {
	if err := each(r.skipped, skipped); err != nil {
		return err
	}
	return each(r.compared, compared)
}

// WriteJSON prints the report as one JSON object, however long it is.
func (r *Report) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	_, _ = b.WriteString(`{"found":`)
	writeJSON(b, names(r.Found))
	_, _ = b.WriteString(`,"imported":`)
	writeJSON(b, names(r.Imported))
	_, _ = b.WriteString(`,"skipped":[`)
	if err := r.skipped.list(b); err != nil {
		return err
	}
	_, _ = b.WriteString(`],"compare":[`)
	if err := r.compared.list(b); err != nil {
		return err
	}
	_, _ = b.WriteString(`],"unexplained":`)
	writeJSON(b, r.Unexplained)
	_, _ = b.WriteString("}\n")
	return b.Flush()
}

func names(counts map[legacy.Kind]int) map[string]int {
	named := make(map[string]int, len(counts))
	for kind, n := range counts {
		if kind == legacy.Foreign {
			kind = "foreign"
		}
		named[string(kind)] = n
	}
	return named
}

func writeJSON(w io.Writer, v any) {
	doc, err := json.Marshal(v)
	if err != nil { // counts always marshal
		panic(err)
	}
	_, _ = w.Write(doc)
}

// spool is a list of JSON lines in a file.
type spool struct {
	file *os.File
	out  *bufio.Writer
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "list-")
	if err != nil {
		return nil, err
	}
	return &spool{f, bufio.NewWriter(f)}, nil
}

func (s *spool) add(v any) error {
	doc, err := json.Marshal(v)
	if err == nil {
		_, err = s.out.Write(append(doc, '\n'))
	}
	return err
}

func (s *spool) rewind() (*bufio.Reader, error) {
	if err := s.out.Flush(); err != nil {
		return nil, err
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return bufio.NewReader(s.file), err
}

// list writes the lines with commas between them.
func (s *spool) list(w io.Writer) error {
	lines, err := s.rewind()
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !first {
			line = append([]byte(","), line...)
		}
		if _, err := w.Write(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

func each[T any](s *spool, f func(T) error) error {
	lines, err := s.rewind()
	if err != nil {
		return err
	}
	for dec := json.NewDecoder(lines); ; {
		var v T
		switch err := dec.Decode(&v); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
}
