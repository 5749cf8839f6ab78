package importer

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"os"

	"github.com/google/uuid"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// partitions is how many files the counters are divided into: with a million counters,
// four thousand in each.
const partitions = 256

// counted is a counter on its way through a file.
type counted struct {
	Scope      usage.Scope
	ID         uuid.UUID
	Kind       legacy.Kind
	Resolution legacy.Resolution
	Model      string
	Bucket     string
	Key        string // of costs that are kept as they are
	Counter    legacy.Counter
	Text       string // of a cost
	Damaged    bool
	Event      *event
	// Rest is what a counter has besides its figures.
	Rest map[string]string
}

// spill divides what belongs together from what does not: everything of an id is in
// one file.
type spill struct {
	files [partitions]*os.File
	out   [partitions]*bufio.Writer
	enc   [partitions]*gob.Encoder
}

func newSpill(dir string) (*spill, error) {
	s := &spill{}
	for i := range s.files {
		f, err := os.CreateTemp(dir, "part-")
		if err != nil {
			s.close()
			return nil, err
		}
		s.files[i], s.out[i] = f, bufio.NewWriter(f)
		s.enc[i] = gob.NewEncoder(s.out[i])
	}
	return s, nil
}

func (s *spill) close() {
	for _, f := range s.files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// add puts a counter to those of its id. Ids are random in their last byte.
func (s *spill) add(c *counted) error {
	return s.enc[c.ID[len(c.ID)-1]].Encode(c)
}

// part gives what is in a file.
func (s *spill) part(i int, f func(*counted) error) error {
	if err := s.out[i].Flush(); err != nil {
		return err
	}
	if _, err := s.files[i].Seek(0, io.SeekStart); err != nil {
		return err
	}
	for dec := gob.NewDecoder(bufio.NewReader(s.files[i])); ; {
		c := new(counted)
		switch err := dec.Decode(c); {
		case errors.Is(err, io.EOF):
			return s.files[i].Truncate(0)
		case err != nil:
			return err
		}
		if err := f(c); err != nil {
			return err
		}
	}
}
