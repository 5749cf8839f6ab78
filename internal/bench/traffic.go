package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

const trafficKeys = 1_000

// models are what the drawn requests ask.
var models = []string{
	"claude-opus-4-20250514", "claude-sonnet-4-20250514", "claude-3-5-haiku-20241022", "gpt-4o",
	"gpt-4o-mini", "gpt-5", "gemini-2.5-pro", "gemini-2.5-flash",
}

// traffic draws requests: keys by Zipf's law, each with one or two accounts and
// one to three models of its own.
type traffic struct {
	keys []trafficKey
}

type trafficKey struct {
	id       string
	accounts []string
	models   []string
}

// newTraffic makes its keys in the database.
func newTraffic(ctx context.Context, conn *pgx.Conn) (*traffic, error) {
	if err := createKeys(ctx, conn, trafficKeys); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT id::text FROM api_keys ORDER BY id")
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // to repeat it
	t := &traffic{keys: make([]trafficKey, len(ids))}
	for i, id := range ids {
		k := trafficKey{id: id}
		for range 1 + random.IntN(2) {
			k.accounts = append(k.accounts, uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i, len(k.accounts))).String())
		}
		for _, m := range random.Perm(len(models))[:1+random.IntN(3)] {
			k.models = append(k.models, models[m])
		}
		t.keys[i] = k
	}
	return t, nil
}

// stream is one caller's share of the traffic. Its records can be told from each
// other: the input tokens are the caller, the output tokens the record's number.
type stream struct {
	*traffic

	caller, sent int64
	random       *rand.Rand
	zipf         *rand.Zipf
	name         string
}

func (t *traffic) stream(caller int) *stream {
	random := rand.New(rand.NewPCG(5, uint64(caller))) //nolint:gosec // to repeat it
	return &stream{
		traffic: t, caller: int64(caller), random: random, name: uuid.NewString(),
		zipf: rand.NewZipf(random, zipfSkew, 1, trafficKeys-1),
	}
}

func (s *stream) next() usage.Record {
	k := &s.keys[s.zipf.Uint64()]
	s.sent++
	return usage.Record{
		APIKeyID: k.id, AccountID: k.accounts[s.random.IntN(len(k.accounts))], AccountType: "claude",
		Model: k.models[s.random.IntN(len(k.models))], InputTokens: s.caller, OutputTokens: s.sent,
		TotalTokens: s.caller + s.sent, RequestCount: 1,
		Cost:      result.NewMoney(decimal.New(1+s.random.Int64N(1_000_000), -8)),
		RequestID: fmt.Sprint(s.name, s.sent),
	}
}
