package testprovider

import (
	"bytes"
	"net/http"
	"net/http/httptest"
)

// Answer is how a provider treats a call. exchange does what an honest one would do:
// it exchanges the refresh token and writes the new ones.
type Answer func(w http.ResponseWriter, r *http.Request, exchange func(http.ResponseWriter))

// Rotates is the honest provider.
func Rotates(w http.ResponseWriter, _ *http.Request, exchange func(http.ResponseWriter)) { exchange(w) }

// Says answers with a status, a body and headers, which come as names and values.
func Says(status int, body string, headers ...string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Stalls leaves the call unanswered until its caller is gone.
func Stalls(_ http.ResponseWriter, r *http.Request, _ func(http.ResponseWriter)) {
	<-r.Context().Done()
}

// RotatesAndStalls exchanges the token and leaves the call unanswered.
func RotatesAndStalls(w http.ResponseWriter, r *http.Request, exchange func(http.ResponseWriter)) {
	exchange(httptest.NewRecorder())
	Stalls(w, r, exchange)
}

// RotatesAndSays exchanges the token and answers something else.
func RotatesAndSays(status int, body string) Answer {
	return func(w http.ResponseWriter, r *http.Request, exchange func(http.ResponseWriter)) {
		exchange(httptest.NewRecorder())
		Says(status, body)(w, r, exchange)
	}
}

// RotatesAndCuts exchanges the token and ends the connection.
func RotatesAndCuts(_ http.ResponseWriter, _ *http.Request, exchange func(http.ResponseWriter)) {
	exchange(httptest.NewRecorder())
	panic(http.ErrAbortHandler)
}

// Endless answers with a body that never ends.
func Endless(w http.ResponseWriter, _ *http.Request, _ func(http.ResponseWriter)) {
	w.Header().Set("Content-Type", "application/json")
	for chunk := bytes.Repeat([]byte(" "), 64<<10); ; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Waits lets each call wait for the channel before another Answer has its turn.
func Waits(until <-chan struct{}, then Answer) Answer {
	return func(w http.ResponseWriter, r *http.Request, exchange func(http.ResponseWriter)) {
		select {
		case <-until:
			then(w, r, exchange)
		case <-r.Context().Done():
		}
	}
}
