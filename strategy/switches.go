package strategy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14a526e0/relaystore/cache"
	"github.com/seed14a526e0/relaystore/db"
)

// lookEvery is how often a process looks for switches of others. Polling alone
// follows within a second, a plan of one page read twice a second; notifications
// would need a connection of their own where there is no Redis.
const lookEvery = 500 * time.Millisecond

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
	// WriteBehind turns the journal on and off; nil where there is none.
	WriteBehind func(on bool)
	// Redis is the primary that data types may be switched to; nil where there is none.
	Redis *Redis
	// Logger takes one line a switch.
	Logger *slog.Logger

	queries db.Queries
	mu      sync.Mutex // of whoever looks or switches
	states  atomic.Pointer[map[DataType]State]
	places  map[DataType]*Place
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// Place tells where t's records are from Start on. It is called before that.
func (s *Switches) Place(t DataType) *Place {
	if s.places == nil {
		s.places = make(map[DataType]*Place, len(DataTypes))
	}
	if s.places[t] == nil {
		s.places[t] = &Place{store: s.Redis}
	}
	return s.places[t]
}

// Start makes the process follow what the first Look has found, and what is switched
// until Close.
func (s *Switches) Start() {
	if s.Redis != nil {
		s.Redis.switches = s
	}
	for _, t := range DataTypes {
		s.apply(t, s.State(t).Effective)
	}
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
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.Look(ctx) // what it does not hear now, the next look tells
		}
	}
}

// State gives what this process follows now; t must be one of DataTypes.
func (s *Switches) State(t DataType) State { return (*s.states.Load())[t] }

// Look reads what has been switched, and follows it.
func (s *Switches) Look(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, err := s.stored(ctx)
	if err != nil {
		return err
	}
	s.follow(stored)
	return nil
}

func (s *Switches) stored(ctx context.Context) (states map[DataType]State, err error) {
	err = s.Primary.Retrying(0).Read(ctx, func(ctx context.Context, c db.DBTX) (err error) {
		states, err = s.read(ctx, c)
		return err
	})
	return states, err
}

// read gives every data type's state, by its row or by default.
func (s *Switches) read(ctx context.Context, c db.DBTX) (map[DataType]State, error) {
	rows, err := s.queries.StorageStrategyList(ctx, c)
	if err != nil {
		return nil, err
	}
	states := make(map[DataType]State, len(DataTypes))
	for _, t := range DataTypes {
		states[t] = s.state(t, Default(t, s.Behind), 0)
	}
	for _, row := range rows {
		states[DataType(row.DataType)] = s.state(DataType(row.DataType), Config{
			Primary(row.PrimaryStorage), row.EnableCache, time.Duration(row.CacheTtl) * time.Second,
			ReadStrategy(row.ReadStrategy), WriteStrategy(row.WriteStrategy),
		}, row.Epoch)
	}
	return states, nil
}

func (s *Switches) state(t DataType, c Config, epoch int64) State {
	return State{Config: c, Epoch: epoch, Effective: s.Machinery.Effective(t, c)}
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
			s.apply(t, now.Effective)
			s.Logger.Info("relaystore: a storage strategy was switched", "dataType", t, "epoch", now.Epoch,
				"enableCache", now.Effective.EnableCache, "writeStrategy", now.Effective.WriteStrategy)
		}
	}
	s.states.Store(&states)
}

func (s *Switches) apply(t DataType, c Config) {
	if p := s.places[t]; p != nil {
		p.onRedis.Store(c.PrimaryStorage == PrimaryRedis)
	}
	if t == Usage {
		if s.WriteBehind != nil {
			s.WriteBehind(c.WriteStrategy == WriteBehind)
		}
		return
	}
	s.Cache.Follow(string(t), cache.Policy{Off: !c.EnableCache, PrimaryFirst: c.ReadStrategy == DatabaseFirst, TTL: c.CacheTTL})
}
