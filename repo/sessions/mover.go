package sessions

import (
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/internal/dbtype"
	"github.com/seed14a526e0/relaystore/strategy"
)

// mover copies the sessions from one primary to the other, in the order of their ids, so
// that what is gone at the source is known page by page.
type mover struct{ *Repo }

var _ strategy.Mover = mover{}

// Mover copies sessions when their primary is switched.
func (r *Repo) Mover() strategy.Mover { return mover{r} }

// importScript stores sessions of 9 values each, and replaces those that are there.
var importScript = strategy.NewScript(goneScript + `
for i = 1, #ARGV, 9 do
	local hash, id, user, ends = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
	gone(hash)
	redis.call('HSET', '` + sessionKey + `' .. hash, 'id', id, 'userId', user, 'expiresAt', ends,
		'userType', ARGV[i + 4], 'data', ARGV[i + 5], 'ipAddress', ARGV[i + 6], 'userAgent', ARGV[i + 7], 'createdAt', ARGV[i + 8])
	redis.call('ZADD', '` + endsKey + `', ends, hash)
	redis.call('ZADD', '` + idsKey + `', 0, id .. ':' .. hash)
	redis.call('ZADD', '` + userKey + `' .. user, 0, id .. ':' .. hash)
end
return 1
`)

// ToRedis begins with an empty Redis: an older copy would bring back what was deleted.
func (m mover) ToRedis(ctx context.Context, move strategy.Move) error {
	if err := m.empty(ctx, move.Redis); err != nil {
		return err
	}
	total, err := m.count(ctx, move.Postgres)
	if err != nil {
		return err
	}
	var done int64
	return m.pages(ctx, move.Postgres, func(page []db.SessionExportRow) error {
		args := make([]string, 0, 9*len(page))
		for _, s := range page {
			args = append(args, hex.EncodeToString(s.TokenHash), s.ID.String(), s.UserID, micros(s.ExpiresAt),
				s.UserType, string(s.SessionData), s.IpAddress, s.UserAgent, micros(s.CreatedAt))
		}
		_, err := move.Redis.Write(ctx, strategy.Session, importScript, nil, args)
		done += int64(len(page))
		move.Progress(done, total)
		return err
	})
}

func (m mover) empty(ctx context.Context, redis *strategy.Redis) error {
	for {
		reply, err := redis.Write(ctx, strategy.Session, cleanupScript, nil, []string{"+inf", strconv.Itoa(redisBatch)})
		if err != nil {
			return err
		}
		if counts, err := reply.AsIntSlice(); err != nil || counts[1] < redisBatch {
			return err
		}
	}
}

func (m mover) count(ctx context.Context, p *strategy.Postgres) (n int64, err error) {
	err = p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		n, err = m.queries.SessionCount(ctx, c)
		return err
	})
	return n, err
}

// pages gives what PostgreSQL has, redisBatch at a time.
func (m mover) pages(ctx context.Context, p *strategy.Postgres, f func([]db.SessionExportRow) error) error {
	after := uuid.Nil
	for {
		var page []db.SessionExportRow
		err := p.Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
			page, err = m.queries.SessionExport(ctx, c, db.SessionExportParams{After: after, RowLimit: redisBatch})
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			page[i].IpAddress = sameText(page[i].IpAddress)
		}
		if err := f(page); err != nil {
			return err
		}
		after = page[len(page)-1].ID
	}
}

// sameText gives an address the text that the Redis side has of it.
func sameText(ip string) string {
	if addr, err := netip.ParseAddr(ip); err == nil {
		return addr.String()
	}
	return ip
}

// ToPostgres deletes between the ids of a page what the source has not.
func (m mover) ToPostgres(ctx context.Context, move strategy.Move) error {
	total, err := m.countInRedis(ctx, move.Redis)
	if err != nil {
		return err
	}
	after, last := uuid.Nil, ""
	for done := int64(0); ; move.Progress(done, total) {
		page, err := m.redisPage(ctx, move.Redis, &last)
		if err != nil {
			return err
		}
		upto := uuid.Max
		p := imported(page)
		if last != "" {
			upto = uuid.MustParse(last[:36])
		}
		err = move.Postgres.Write(ctx, func(ctx context.Context, tx db.DBTX) error {
			if err := m.queries.SessionImportGaps(ctx, tx, db.SessionImportGapsParams{After: after, Upto: upto, Ids: p.Ids}); err != nil {
				return err
			}
			return m.queries.SessionImport(ctx, tx, p)
		})
		if err != nil || last == "" {
			return err
		}
		after, done = upto, done+int64(len(page))
	}
}

func imported(page []db.SessionExportRow) (p db.SessionImportParams) {
	p.Ids = make([]uuid.UUID, 0, len(page))
	for _, s := range page {
		p.Ids, p.TokenHashes = append(p.Ids, s.ID), append(p.TokenHashes, s.TokenHash)
		p.UserIds, p.UserTypes = append(p.UserIds, s.UserID), append(p.UserTypes, s.UserType)
		p.SessionData, p.IpAddresses = append(p.SessionData, string(s.SessionData)), append(p.IpAddresses, s.IpAddress)
		p.UserAgents = append(p.UserAgents, s.UserAgent)
		p.CreatedAt, p.ExpiresAt = append(p.CreatedAt, s.CreatedAt), append(p.ExpiresAt, s.ExpiresAt)
	}
	return p
}

func (m mover) countInRedis(ctx context.Context, redis *strategy.Redis) (n int64, err error) {
	err = redis.Read(ctx, func(ctx context.Context, c rueidis.Client) (err error) {
		n, err = c.Do(ctx, c.B().Zcard().Key(idsKey).Build()).AsInt64()
		return err
	})
	return n, err
}

// redisPage gives the sessions behind the member last, and moves that on: "" is that
// there were none.
func (m mover) redisPage(ctx context.Context, redis *strategy.Redis, last *string) (page []db.SessionExportRow, err error) {
	err = redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
		from := "-"
		if *last != "" {
			from = "(" + *last
		}
		members, err := c.Do(ctx, c.B().Zrangebylex().Key(idsKey).Min(from).Max("+").Limit(0, redisBatch).Build()).AsStrSlice()
		if err != nil {
			return err
		}
		page, err = stored(ctx, c, members)
		if err == nil {
			*last = ""
			if len(members) > 0 {
				*last = members[len(members)-1]
			}
		}
		return err
	})
	return page, err
}

// stored reads the sessions of members of the order by id.
func stored(ctx context.Context, c rueidis.Client, members []string) (page []db.SessionExportRow, err error) {
	cmds := make(rueidis.Commands, len(members))
	for i, member := range members {
		cmds[i] = c.B().Hmget().Key(sessionKey+member[37:]).
			Field("id", "userId", "userType", "data", "ipAddress", "userAgent", "createdAt", "expiresAt").Build()
	}
	for i, reply := range c.DoMulti(ctx, cmds...) {
		v, err := reply.AsStrSlice()
		if err != nil {
			return nil, err
		}
		id, err := uuid.Parse(v[0])
		if err != nil || !strings.HasPrefix(members[i], v[0]) {
			continue // it has gone
		}
		hash, err := hex.DecodeString(members[i][37:])
		if err != nil {
			continue
		}
		page = append(page, db.SessionExportRow{
			ID: id, TokenHash: hash, UserID: v[1], UserType: v[2], SessionData: dbtype.JSON(v[3]),
			IpAddress: v[4], UserAgent: v[5], CreatedAt: fromMicros(v[6]), ExpiresAt: fromMicros(v[7]),
		})
	}
	return page, nil
}

// Compare reads both, session by session.
func (m mover) Compare(ctx context.Context, move strategy.Move) (differ int64, err error) {
	var inPostgres int64
	err = m.pages(ctx, move.Postgres, func(page []db.SessionExportRow) error {
		inPostgres += int64(len(page))
		members := make([]string, len(page))
		for i, s := range page {
			members[i] = s.ID.String() + ":" + hex.EncodeToString(s.TokenHash)
		}
		return move.Redis.Read(ctx, func(ctx context.Context, c rueidis.Client) error {
			copies, err := stored(ctx, c, members)
			if err == nil {
				differ += int64(differences(page, copies))
			}
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	inRedis, err := m.countInRedis(ctx, move.Redis)
	return differ + max(inRedis-inPostgres, 0), err
}

// differences counts those of which there is no equal copy.
func differences(page, copies []db.SessionExportRow) (n int) {
	for _, s := range page {
		i := slices.IndexFunc(copies, func(c db.SessionExportRow) bool { return c.ID == s.ID })
		if i < 0 || !same(s, copies[i]) {
			n++
		}
	}
	return n
}

func same(a, b db.SessionExportRow) bool {
	at := func(t time.Time) int64 { return t.UnixMicro() }
	return string(a.TokenHash) == string(b.TokenHash) && a.UserID == b.UserID && a.UserType == b.UserType && string(a.SessionData) == string(b.SessionData) &&
		a.IpAddress == b.IpAddress && a.UserAgent == b.UserAgent && at(a.CreatedAt) == at(b.CreatedAt) && at(a.ExpiresAt) == at(b.ExpiresAt)
}
