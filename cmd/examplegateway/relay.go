package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	// maxPlaces bounds requests in work and records not yet written, both together: while
	// PostgreSQL takes no records, the gateway soon takes no requests.
	maxPlaces  = 1024
	maxBody    = 8 << 20
	maxAnswer  = 64 << 20
	maxSilence = 90 * time.Second // of the provider
	ioTimeout  = 30 * time.Second // for a client that neither reads nor writes
)

type gateway struct {
	client   *repo.Client
	upstream string
	http     *http.Client
	log      *slog.Logger
	seldom   rate.Sometimes
	places   *semaphore.Weighted
	stopping atomic.Bool
	lost     atomic.Int64 // records
}

func newGateway(client *repo.Client, upstream string, log *slog.Logger) *gateway {
	return &gateway{
		client: client, upstream: upstream, log: log, seldom: rate.Sometimes{Interval: time.Second}, places: semaphore.NewWeighted(maxPlaces),
		http: &http.Client{
			Transport:     &http.Transport{Proxy: proxyOf, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // tokens go nowhere else
		},
	}
}

// warn logs once a second at most. The store's errors hold no secret; an HTTP client's may.
func (g *gateway) warn(message string, err error) {
	g.seldom.Do(func() { g.log.Warn(message, "error", err) })
}

// messages relays one request.
func (g *gateway) messages(w http.ResponseWriter, r *http.Request, key apikeys.Validation) {
	if g.stopping.Load() || !g.places.TryAcquire(1) {
		unavailable.write(w)
		return
	}
	// The requestId is the gateway's own: a client could send one twice, and use for nothing.
	x := &exchange{keyID: key.ID, requestID: uuid.NewString()}
	defer g.settle(r.Context(), x)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(ioTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = control.SetReadDeadline(time.Time{}) // the connection is watched for a hang-up from here on
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		tooLarge.write(w)
		return
	}
	wanted := struct{ Model *string }{&x.model}
	// The ledger would refuse such a name, when it is too late to refuse the request.
	if err != nil || json.Unmarshal(body, &wanted) != nil || x.model == "" || result.CheckText("model", x.model, 255) != nil {
		badRequest.write(w)
		return
	}
	ctx, cancel := context.WithCancel(r.Context()) // a client that hangs up ends the provider's work
	defer cancel()
	silence := time.AfterFunc(maxSilence, cancel)
	defer silence.Stop()
	answer, refused := g.call(ctx, r.Header, body, x)
	if refused != nil {
		refused.write(w)
		return
	}
	defer answer.Body.Close()                    //nolint:errcheck // it is only read
	x.began = answer.StatusCode == http.StatusOK // a refusal of the provider's costs nothing
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	w.Header().Set("Request-Id", x.requestID)
	w.WriteHeader(answer.StatusCode)
	if err := x.pass(w, http.MaxBytesReader(nil, answer.Body, maxAnswer), silence); !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
}

// pass passes the answer on, a stream's lines as they come. io.EOF is the answer's end.
func (x *exchange) pass(w http.ResponseWriter, answer io.Reader, silence *time.Timer) error {
	control, in := http.NewResponseController(w), bufio.NewReader(answer)
	for {
		line, end := in.ReadBytes('\n')
		silence.Reset(maxSilence)
		x.note(bytes.TrimPrefix(line, []byte("data:")))
		_ = control.SetWriteDeadline(time.Now().Add(ioTimeout))
		if _, err := w.Write(line); err != nil {
			return err
		}
		if in.Buffered() == 0 {
			_ = control.Flush() // that the client is gone shows with the next line
		}
		if end != nil {
			return end
		}
	}
}
