package accounts

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed14a526e0/relaystore/internal/legacy"
	"github.com/seed14a526e0/relaystore/strategy"
)

func (l *legacyAccounts) updateStatus(ctx context.Context, id uuid.UUID, word string, m StatusMetadata) error {
	_, err := l.change(ctx, id, func(f *found) (patch, error) { return f.statusPatch(word, m, l.millisecond()), nil })
	return err
}

// statusPatch sets the status, and what is known of the limit's window, by the rules of
// AccountUpdateStatus in PostgreSQL.
func (f *found) statusPatch(word string, m StatusMetadata, now time.Time) patch {
	rec := f.record()
	was, reset := status(&rec), f.resetAt(&rec)
	keeps := (reset.IsZero() || reset.After(now)) && (was != RateLimited || word == RateLimited)
	set := map[string]string{
		"updatedAt": legacy.TimeText(now), "isActive": legacy.FlagText(word != Inactive), "status": Active, ownStatusAt: legacy.TimeText(now),
	}
	if word == InError {
		set["status"] = InError
	}
	if m.ErrorMessage != "" || word != InError || was != InError {
		set["errorMessage"] = m.ErrorMessage
	}
	if m.LastRequestAt.After(rec.LastUsedAt) {
		set["lastUsedAt"] = legacy.TimeText(m.LastRequestAt)
	}
	switch {
	case m.TokensRemaining != nil:
		set[ownTokensRemaining] = strconv.FormatInt(*m.TokensRemaining, 10)
	case !keeps:
		set[ownTokensRemaining] = ""
	}
	if !m.RateLimitResetAt.IsZero() {
		reset = m.RateLimitResetAt
	} else if !keeps {
		reset = time.Time{}
	}
	f.limit(set, word == RateLimited, &rec, reset, now)
	return patch{set: set, watch: []string{"schedulable", "rateLimitAutoStopped", "rateLimitStatus", "rateLimitedAt", "rateLimitEndAt", "rateLimitResetAt"}}
}

// usePatch moves the last use forward, never back.
func (f *found) usePatch(at time.Time) patch {
	rec := f.record()
	if !at.After(rec.LastUsedAt) {
		return patch{}
	}
	return patch{set: map[string]string{"lastUsedAt": legacy.TimeText(at)}}
}

// limitPatch limits the account by the rules of AccountLimit in PostgreSQL.
func (f *found) limitPatch(until, now time.Time) patch {
	rec := f.record()
	reset := f.resetAt(&rec)
	switch word := status(&rec); {
	case word == Active, !reset.IsZero() && until.After(reset):
		reset = until
	case word != RateLimited:
		return patch{watch: []string{"status", "isActive"}}
	}
	p := f.statusPatch(RateLimited, StatusMetadata{RateLimitResetAt: reset}, now.Truncate(time.Millisecond))
	p.set[ownTokensRemaining] = ""
	return p
}

// limit writes a limit as the service does, which pauses the account by it and ends
// both when it has passed: the status stays active meanwhile. Without its beginning, a
// limit has no end for the service either.
func (f *found) limit(set map[string]string, limited bool, rec *legacy.AccountRecord, reset, now time.Time) {
	ends, other := "rateLimitEndAt", "rateLimitResetAt"
	if f.place.Platform == legacy.OpenAI || f.place.Platform == legacy.OpenAIResponses {
		ends, other = other, ends
	}
	set[ends], set[other] = legacy.TimeText(reset), ""
	stopped := f.fields["rateLimitAutoStopped"] == "true"
	if !limited {
		set["rateLimitStatus"], set["rateLimitedAt"], set["rateLimitAutoStopped"] = "", "", ""
		if stopped {
			set["schedulable"] = legacy.FlagText(true)
		}
		return
	}
	set["rateLimitStatus"] = "limited"
	switch {
	case reset.IsZero():
		set["rateLimitedAt"] = ""
	case f.fields["rateLimitedAt"] == "" || !rec.RateLimited:
		set["rateLimitedAt"] = legacy.TimeText(now)
	}
	if rec.Schedulable {
		set["schedulable"], set["rateLimitAutoStopped"] = legacy.FlagText(false), "true"
	}
}

func (l *legacyAccounts) setSchedulable(ctx context.Context, id uuid.UUID, schedulable bool) error {
	_, err := l.change(ctx, id, func(f *found) (patch, error) { return f.pausePatch(!schedulable, l.millisecond()), nil })
	return err
}

// pausePatch pauses an account for longer than a limit does, or leaves of a pause what its
// limit makes.
func (f *found) pausePatch(paused bool, now time.Time) patch {
	rec := f.record()
	set := map[string]string{"updatedAt": legacy.TimeText(now), "schedulable": legacy.FlagText(!paused), "rateLimitAutoStopped": ""}
	if !paused && rec.RateLimited {
		set["schedulable"], set["rateLimitAutoStopped"] = legacy.FlagText(false), "true"
	}
	var extra map[string]json.RawMessage
	if _ = json.Unmarshal([]byte(f.fields[ownExtra]), &extra); extra[tookThere] != nil {
		delete(extra, tookThere)
		doc, _ := json.Marshal(extra) // of documents
		set[ownExtra] = string(doc)
	}
	return patch{set: set, watch: []string{"schedulable", "rateLimitAutoStopped", "rateLimitStatus"}}
}

// delete removes an account as the service does, and what refers to it. Nothing keeps
// its name.
func (l *legacyAccounts) delete(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := l.Primary.Bounded(ctx)
	defer cancel()
	f, err := l.find(ctx, id)
	if err != nil {
		return err
	}
	keys := []string{f.key(), refreshKey(id), f.place.Index(), sharedOr(f.place)}
	for _, platform := range legacy.GroupPlatforms {
		keys = append(keys, legacy.GroupsOf(platform, id.String()))
	}
	reply, err := l.redis.Write(ctx, strategy.Account, deleteScript, keys, []string{id.String(), legacy.MembersPrefix})
	if err != nil {
		return err
	}
	if n, err := reply.AsInt64(); err != nil || n == 0 {
		return pgx.ErrNoRows
	}
	return nil
}
