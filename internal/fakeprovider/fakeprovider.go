// Package fakeprovider answers POST /v1/messages as Anthropic does, streamed or whole,
// so that a gateway can be tried without a provider: the last message's words come back,
// one token each.
package fakeprovider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
)

type object = map[string]any

// Start serves on a loopback port until Close.
func Start() *httptest.Server { return httptest.NewServer(http.HandlerFunc(Answer)) }

// Answer answers one request. It wants a token or an API key, whichever; a stream has an
// event for each word.
func Answer(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Stream   bool
		Messages []struct{ Content string }
	}
	if r.Header.Get("Authorization") == "" && r.Header.Get("X-Api-Key") == "" {
		refuse(w, http.StatusUnauthorized, "authentication_error")
		return
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.Messages) == 0 {
		refuse(w, http.StatusBadRequest, "invalid_request_error")
		return
	}
	words := strings.Fields(in.Messages[len(in.Messages)-1].Content)
	used := object{"input_tokens": len(words), "output_tokens": len(words)}
	if !in.Stream {
		w.Header().Set("Content-Type", "application/json")
		text := object{"type": "text", "text": strings.Join(words, " ")}
		_, _ = w.Write(marshal(object{"type": "message", "role": "assistant", "content": []object{text}, "usage": used}))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	Send(w, object{"type": "message_start", "message": object{"role": "assistant", "usage": object{"input_tokens": len(words), "output_tokens": 0}}})
	Send(w, object{"type": "content_block_start", "index": 0, "content_block": object{"type": "text", "text": ""}})
	for _, word := range words {
		Send(w, object{"type": "content_block_delta", "index": 0, "delta": object{"type": "text_delta", "text": word + " "}})
	}
	Send(w, object{"type": "content_block_stop", "index": 0})
	Send(w, object{"type": "message_delta", "delta": object{"stop_reason": "end_turn"}, "usage": object{"output_tokens": len(words)}})
	Send(w, object{"type": "message_stop"})
}

// Send writes one event of a stream and flushes it. Who is gone hears nothing.
func Send(w http.ResponseWriter, event map[string]any) {
	fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], marshal(event))
	_ = http.NewResponseController(w).Flush()
}

func refuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(object{"type": "error", "error": object{"type": kind, "message": kind}}))
}

func marshal(doc object) []byte {
	text, _ := json.Marshal(doc) // what stands here can be marshalled
	return text
}
