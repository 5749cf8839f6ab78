package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/seed14a526e0/relaystore/repo/usage"
)

// columns are the header's names; others may stand beside them.
var columns = [3]string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}

const timeLayout = "2006-01-02 15:04:05.9999999"

// Row is one request of a trace.
type Row struct {
	// N counts from 0.
	N             int
	Time          time.Time
	Input, Output int64
}

// Trace is a checked file.
type Trace struct {
	Path string
	// Digest is the hex SHA-256 of the file as it is.
	Digest string
	Rows   int
	// First and Last are the earliest and the latest time.
	First, Last time.Time
}

// RowError is a row that cannot be used.
type RowError struct {
	File   string
	Line   int
	Reason string
}

// Error names the file, the line and the reason.
func (e *RowError) Error() string { return fmt.Sprintf("%s: line %d: %s", e.File, e.Line, e.Reason) }

// Read checks every row of a file. The first bad one is a *RowError.
func Read(ctx context.Context, path string) (Trace, error) {
	t := Trace{Path: path}
	digest, err := digestOf(path)
	if err != nil {
		return Trace{}, err
	}
	t.Digest = digest
	err = t.Each(ctx, func(r Row) error {
		if t.Rows == 0 || r.Time.Before(t.First) {
			t.First = r.Time
		}
		if r.Time.After(t.Last) {
			t.Last = r.Time
		}
		t.Rows++
		return nil
	})
	if err == nil && t.Rows == 0 {
		err = fmt.Errorf("%s: no rows", filepath.Base(path))
	}
	return t, err
}

// Each gives the rows in order until f or ctx ends it.
func (t Trace) Each(ctx context.Context, f func(Row) error) error {
	file, err := os.Open(t.Path)
	if err != nil {
		return plain(err)
	}
	defer file.Close()
	text, err := unzipped(file)
	if err != nil {
		return fmt.Errorf("%s: not a readable gzip file", filepath.Base(t.Path))
	}
	r := &rowReader{file: filepath.Base(t.Path), csv: csv.NewReader(text), latest: time.Now().Add(24 * time.Hour)}
	r.csv.ReuseRecord = true
	if err := r.header(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		row, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f(row); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func digestOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", plain(err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", plain(err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// unzipped looks at the content, not at the name.
func unzipped(file io.Reader) (io.Reader, error) {
	buf := bufio.NewReader(file)
	if magic, _ := buf.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return gzip.NewReader(buf)
	}
	return buf, nil
}

type rowReader struct {
	file   string
	csv    *csv.Reader
	at     [3]int // where the columns are
	n      int
	latest time.Time
}

func (r *rowReader) header() error {
	names, err := r.csv.Read()
	if err != nil {
		return r.bad(1, "no header with "+fmt.Sprint(columns))
	}
	for i, want := range columns {
		if r.at[i] = slices.Index(names, want); r.at[i] < 0 {
			return r.bad(1, "no column "+want)
		}
	}
	return nil
}

func (r *rowReader) next() (Row, error) {
	fields, err := r.csv.Read()
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return Row{}, io.EOF
	case errors.As(err, &syntax):
		return Row{}, r.bad(syntax.Line, "not a CSV row with as many columns as the header")
	case err != nil:
		return Row{}, fmt.Errorf("%s: cut off or damaged after row %d", r.file, r.n)
	}
	line, _ := r.csv.FieldPos(0)
	row := Row{N: r.n}
	if row.Time, err = time.Parse(timeLayout, fields[r.at[0]]); err != nil {
		return Row{}, r.bad(line, columns[0]+": not a time like 2023-11-16 18:17:03.9799600")
	}
	if row.Time.Year() < 2000 || row.Time.After(r.latest) {
		return Row{}, r.bad(line, columns[0]+": must lie between the year 2000 and tomorrow")
	}
	for i, tokens := range []*int64{&row.Input, &row.Output} {
		if *tokens, err = strconv.ParseInt(fields[r.at[i+1]], 10, 64); err != nil || *tokens < 0 || *tokens > usage.MaxCount {
			return Row{}, r.bad(line, fmt.Sprintf("%s: not a whole number between 0 and %d", columns[i+1], int64(usage.MaxCount)))
		}
	}
	r.n++
	return row, nil
}

func (r *rowReader) bad(line int, reason string) error { return &RowError{r.file, line, reason} }

// plain leaves the operation out: "open x: no such file" says x twice.
func plain(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Path, path.Err)
	}
	return err
}
