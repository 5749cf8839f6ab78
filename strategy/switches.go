package strategy

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
	"github.com/seed14a526e0/relaystore/repo/result"
)

// lookEvery is how often a process looks for switches of others. Polling alone
// follows within a second, a plan of one page read twice a second; notifications
// would need a connection of their own where there is no Redis. While a primary is
// moved, it looks more often: writers wait for the end.
const (
	lookEvery   = 500 * time.Millisecond
	pausedEvery = 50 * time.Millisecond
)

// Switches knows how each data type is stored, follows what any process has switched,
// and switches. A Look comes first, then Start; Close ends it.
type Switches struct {
	Primary *Postgres
	// Cache follows the switches of what it caches; it may be nil.
	Cache *cache.Cache
	// Behind tells whether usage is written behind where nobody has switched it.
	Behind bool
	// Machinery is what this process can do.
	Machinery Machinery
	// WriteBehind says of each data type that has one whether its journal takes writes.
	WriteBehind map[DataType]func(on bool)
	// Redis is the primary that data types may be switched to; nil where there is none.
	Redis *Redis
	// Movers copy data types from one primary to the other. One without a mover is moved
	// only while its primary holds nothing of it.
	Movers map[DataType]Mover
	// Logger takes one line a switch.
	Logger *slog.Logger

	queries           db.Queries
	lease, renewEvery time.Duration // of a move; 0 are moveLease and a fifth of it
	turn              turn          // of whoever looks or switches
	states            atomic.Pointer[map[DataType]State]
	changed           atomic.Pointer[chan struct{}] // closed when states changes
	hurry             chan struct{}
	places            map[DataType]*Place
	stop              context.CancelFunc
	work              sync.WaitGroup
}

// Place tells where t's records are from Start on. It is called before that.
func (s *Switches) Place(t DataType) *Place {
	if s.places == nil {
		s.places = make(map[DataType]*Place, len(DataTypes))
	}
	if s.places[t] == nil {
		s.places[t] = &Place{store: s.Redis}
		if s.Redis == nil { // fails the calls of a process that cannot follow
			s.places[t].store = &Redis{Connect: noRedis, OpTimeout: time.Second, switches: s}
		}
	}
	return s.places[t]
}

func noRedis() (rueidis.Client, error) { return nil, result.ConnectionFailed }

// Guard makes p's [Postgres.For] fence writes by what this process follows.
func (s *Switches) Guard(p *Postgres) { p.switches = s }

// CheckStored refuses what is stored and no process takes, or this one cannot do in the
// place of a Redis primary: it would read and write beside the data. A cache or a journal
// that it lacks is no reason.
func (s *Switches) CheckStored() error {
	for _, t := range DataTypes {
		st := s.State(t)
		m := everything
		m.Redis = s.Machinery.Redis
		if err := m.Check(t, st.Config); err != nil {
			e := result.From(err)
			return result.New(e.Code, "%s is stored in a way that this process refuses: %s", t, e.Message).With("field", e.Field())
		}
	}
	return nil
}

// Start makes the process follow what the first Look has found, and what is switched
// until Close.
func (s *Switches) Start() {
	if s.Redis != nil {
		s.Redis.switches = s
	}
	for _, t := range DataTypes {
		s.apply(t, s.State(t))
	}
	s.hurry = make(chan struct{}, 1)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.work.Go(func() { s.watch(ctx) })
}

// Close ends the following.
func (s *Switches) Close() {
	s.stop()
	s.work.Wait()
}

func (s *Switches) watch(ctx context.Context) {
	for {
		every := lookEvery
		if s.paused() {
			every = pausedEvery
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.hurry:
			timer.Stop()
		case <-timer.C:
		}
		_ = s.Look(ctx) // what it does not hear now, the next look tells
	}
}

func (s *Switches) paused() bool {
	for _, st := range *s.states.Load() {
		if st.Step != "" {
			return true
		}
	}
	return false
}

// State gives what this process follows now; t must be one of DataTypes.
func (s *Switches) State(t DataType) State { return (*s.states.Load())[t] }

// WasMoved tells whether a data type's primary has ever been moved, as far as this process
// knows: Redis has been it then.
func (s *Switches) WasMoved(t DataType) bool { return s.State(t).fence > 0 }

// Look reads what has been switched, and follows it.
func (s *Switches) Look(ctx context.Context) error {
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	defer s.turn.end()
	stored, err := s.stored(ctx)
	if err != nil {
		return err
	}
	s.follow(stored)
	return nil
}

// stored also ends the moves whose holders are gone.
func (s *Switches) stored(ctx context.Context) (states map[DataType]State, err error) {
	lapsed := false
	read := func(ctx context.Context, c db.DBTX) (err error) {
		states, lapsed, err = s.read(ctx, c)
		return err
	}
	primary := s.Primary.Retrying(0)
	if err = primary.Read(ctx, read); err != nil || !lapsed {
		return states, err
	}
	if err = primary.Write(ctx, func(ctx context.Context, tx db.DBTX) error { return s.queries.StorageMoveLapse(ctx, tx) }); err == nil {
		err = primary.Read(ctx, read)
	}
	return states, err
}

// read gives every data type's state, by its row or by default, and whether some move's
// lease has run out.
func (s *Switches) read(ctx context.Context, c db.DBTX) (states map[DataType]State, lapsed bool, err error) {
	rows, err := s.queries.StorageStateList(ctx, c)
	if err != nil {
		return nil, false, err
	}
	states = make(map[DataType]State, len(DataTypes))
	for _, row := range rows {
		t, primary := DataType(row.DataType), Primary(row.PrimaryStorage)
		c := Default(t, s.Behind)
		switch {
		case row.Switched:
			c = Config{primary, row.EnableCache, time.Duration(row.CacheTtl) * time.Second, ReadStrategy(row.ReadStrategy), WriteStrategy(row.WriteStrategy)}
		case primary == PrimaryRedis:
			c = DefaultOn(primary, t)
		}
		st := State{Config: c, Epoch: row.Epoch, Effective: s.Machinery.Effective(t, c), Step: row.Step, fence: row.Fence}
		if st.Effective.WriteStrategy == WriteBehind {
			st.Delays = delays[t]
		}
		states[t] = st
		lapsed = lapsed || row.Lapsed
	}
	return states, lapsed, nil
}

// follow does what has changed.
func (s *Switches) follow(states map[DataType]State) {
	var before map[DataType]State
	if p := s.states.Load(); p != nil {
		before = *p
	}
	for _, t := range DataTypes {
		now, was := states[t], before[t]
		if now == was {
			continue
		}
		if before != nil {
			s.apply(t, now)
			if now.PrimaryStorage == was.PrimaryStorage && now.Step != was.Step {
				s.Logger.Info("relaystore: a data type's primary is being moved", "dataType", t, "step", now.Step, "primary", now.PrimaryStorage)
				continue
			}
			s.Logger.Info("relaystore: a storage strategy was switched", "dataType", t, "epoch", now.Epoch,
				"primary", now.PrimaryStorage, "enableCache", now.Effective.EnableCache, "writeStrategy", now.Effective.WriteStrategy)
		}
	}
	if maps.Equal(before, states) {
		return
	}
	s.states.Store(&states)
	next := make(chan struct{})
	if last := s.changed.Swap(&next); last != nil {
		close(*last)
	}
	if s.paused() {
		select {
		case s.hurry <- struct{}{}:
		default: // before Start, too
		}
	}
}

// turn is a mutex that a caller waits for only as long as it may: whoever has it may be
// asking a server that hangs.
type turn struct {
	once  sync.Once
	taken chan struct{}
}

func (t *turn) take(ctx context.Context) error {
	t.once.Do(func() { t.taken = make(chan struct{}, 1) })
	select {
	case t.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *turn) end() { <-t.taken }

func (s *Switches) apply(t DataType, st State) {
	c := st.Effective
	if p := s.places[t]; p != nil {
		p.onRedis.Store(c.PrimaryStorage == PrimaryRedis)
	}
	if behind := s.WriteBehind[t]; behind != nil {
		// A session may end while it is moved: what makes it go on must not wait for that.
		behind(c.WriteStrategy == WriteBehind && (t != Session || st.Step == ""))
	}
	if t == Usage {
		return
	}
	s.Cache.Follow(string(t), cache.Policy{Off: !c.EnableCache, PrimaryFirst: c.ReadStrategy == DatabaseFirst, TTL: c.CacheTTL})
}
