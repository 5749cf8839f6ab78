package usage

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// numbered makes n good entries with requestIds.
func (b *bundle) numbered(t *testing.T, n int) []entry {
	t.Helper()
	entries := make([]entry, n)
	for i := range entries {
		r := sample(b.keys[0])
		r.RequestID = uuid.NewString()
		entries[i] = checked(t, r)
	}
	return entries
}

// TestOneBadRecordHurtsOnlyItself puts records that the database refuses among
// good ones of the same batch.
func TestOneBadRecordHurtsOnlyItself(t *testing.T) {
	t.Parallel()
	b := setupAt(t, testdb.LatinURL(t), 1)
	const n, unknown, check, letters = 100, 17, 42, 43
	entries := b.numbered(t, n)
	entries[unknown].key = uuid.New()
	entries[check].InputTokens, entries[check].TotalTokens = -1, -1 // past the library's own check
	entries[letters].Model = "模型"                                   // 22P05 in LATIN1
	for i, w := range b.writer.write(t.Context(), entries) {
		switch i {
		case unknown:
			requireRefused(t, w.outcome.status("apiKeyId").Err(), result.RecordNotFound, "apiKeyId")
		case check:
			require.ErrorIs(t, w.outcome.status("apiKeyId").Err(), result.ConstraintViolation)
		case letters:
			require.ErrorIs(t, w.outcome.status("apiKeyId").Err(), result.InvalidQuery)
		default:
			require.Equal(t, outcome{}, w.outcome, i)
		}
	}
	require.EqualValues(t, n-3, b.count(t, "SELECT count(*) FROM usage_requests"))
	b.requireRequests(t, n-3)
	b.requireRollupsEqualRecords(t)
}

// TestPurgedKey deletes a key for good after the process has recorded for it.
func TestPurgedKey(t *testing.T) {
	t.Parallel()
	b := setup(t, 2)
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[1])).Err())
	b.exec(t, "DELETE FROM api_keys WHERE id = $1", b.keys[1])
	requireRefused(t, b.RecordUsage(t.Context(), sample(b.keys[1])).Err(), result.RecordNotFound, "apiKeyId")
	require.NoError(t, b.RecordUsage(t.Context(), sample(b.keys[0])).Err())
	b.requireRequests(t, 2)
}

// TestTwinsInABatch gives one requestId several times in one batch; where the
// first one is refused, the next one counts.
func TestTwinsInABatch(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	entries := b.numbered(t, 7)
	for i := 1; i < 4; i++ {
		entries[i].requestHash = entries[0].requestHash
	}
	entries[5].requestHash, entries[6].requestHash = entries[4].requestHash, entries[4].requestHash
	entries[4].InputTokens, entries[4].TotalTokens = -1, -1
	var got []bool
	for i, w := range b.writer.write(t.Context(), entries) {
		if i == 4 {
			requireRefused(t, w.outcome.err, result.ConstraintViolation, "")
			continue
		}
		require.NoError(t, w.outcome.err)
		got = append(got, w.outcome.duplicate)
	}
	require.Equal(t, []bool{false, true, true, true, false, true}, got)
	b.requireRequests(t, 2)
}

// TestDuplicateAmongNewOnes sends a batch through the ON CONFLICT statement.
func TestDuplicateAmongNewOnes(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	entries := b.numbered(t, 10)
	writeBatch(t, b, entries[:1])
	again := b.numbered(t, 1)[0]
	again.requestHash = entries[0].requestHash
	for i, w := range b.writer.write(t.Context(), append(entries[1:], again)) {
		require.Equal(t, outcome{duplicate: i == 9}, w.outcome)
	}
	b.requireRequests(t, 10)
}

func TestRecordUsageBatch(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	require.Empty(t, b.RecordUsageBatch(t.Context(), nil))
	recs := make([]Record, bulkWindow+10)
	for i := range recs {
		recs[i] = sample(b.keys[0])
	}
	bad := sample(b.keys[0])
	bad.Model = string(make([]byte, 1<<20))
	noType := sample(b.keys[0])
	noType.AccountType = ""
	recs[5], recs[6], recs[bulkWindow+3] = bad, noType, sample(uuid.NewString())
	for i, s := range b.RecordUsageBatch(t.Context(), recs) {
		switch i {
		case 5:
			requireRefused(t, s.Err(), result.InvalidQuery, "model")
		case 6:
			requireRefused(t, s.Err(), result.InvalidQuery, "accountType")
		case bulkWindow + 3:
			requireRefused(t, s.Err(), result.RecordNotFound, "apiKeyId")
		default:
			require.NoError(t, s.Err())
		}
	}
	b.requireRequests(t, bulkWindow+7)
	for _, s := range b.RecordUsageBatch(t.Context(), make([]Record, MaxRecords+1)) {
		requireRefused(t, s.Err(), result.InvalidQuery, "records")
	}
}

// TestHundredThousandAtOnce has every record of the largest call in three months.
func TestHundredThousandAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, 1)
	recs := make([]Record, MaxRecords)
	start := time.Now().AddDate(0, -2, 0)
	for i := range recs {
		recs[i] = sample(b.keys[0])
		recs[i].Timestamp = start.Add(time.Duration(i) * 50 * time.Second)
	}
	for _, s := range b.RecordUsageBatch(t.Context(), recs) {
		require.NoError(t, s.Err())
	}
	b.requireRequests(t, MaxRecords)
}
