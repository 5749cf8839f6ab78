package accounts

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/seed14a526e0/relaystore/repo/result"
)

// pace is how long the steps of a refresh may take.
type pace struct {
	// lease is how long the others leave an account to a process that is silent.
	lease time.Duration
	// call is how long the provider has.
	call time.Duration
	// answers is how long an outcome answers further calls.
	answers time.Duration
	// grace is how long a successor lets go first whose answer has perhaps come and
	// waits, as it does itself, for a database that was down.
	grace time.Duration
	// store is how long a call tries to store what the provider gave.
	store time.Duration
}

// refreshes are a process's own.
type refreshes struct {
	pace

	flights singleflight.Group
	running sync.WaitGroup
	active  atomic.Int64
	// waiting ends when Close begins, working with Close's deadline.
	waiting, working      context.Context
	stopWaiting, stopWork context.CancelFunc

	mu     sync.Mutex
	closed bool
	kept   map[uuid.UUID]*unstored
}

func newRefreshes(opTimeout time.Duration) *refreshes {
	rs := &refreshes{
		pace: pace{lease: time.Minute, call: 20 * time.Second, answers: 10 * time.Second, grace: 2 * opTimeout, store: 2 * time.Minute},
		kept: make(map[uuid.UUID]*unstored),
	}
	rs.waiting, rs.stopWaiting = context.WithCancel(context.Background())
	rs.working, rs.stopWork = context.WithCancel(context.Background())
	return rs
}

// RefreshOAuthToken gives an account a new access token from its provider, through
// the account's own proxy, and stores it before it returns. Callers of all processes
// share one call to the provider; whoever calls while it runs, or within 10 seconds
// after it, gets its outcome, a failure as well. The call goes on, and its tokens are
// stored, when ctx is gone.
//
// A failure of the provider is UpstreamRefreshFailed with details.reason, and
// details.status and details.retryAfterSeconds where they are known: until then the
// failure answers further calls, for at most 5 minutes. reason is a [RefreshFailure],
// or a word that says more, such as timeout or invalid_client. invalid_grant sets the
// status error with a message, unless the status is inactive; SetCredentials ends it,
// and so do tokens of a refresh that are stored after all. No other failure changes
// the status.
//
// Without a deadline, a call waits at most 90 seconds for another process, 20 for the
// provider and 2 minutes for PostgreSQL; past its deadline it is QueryTimeout.
//
// What happens when a process dies, by the moment:
//
//   - Before the call, or during it before the provider has acted: another process
//     waits until the lease of 60 seconds is over (and 10 more where the call may have
//     begun) and refreshes with the same token.
//   - After the provider has exchanged the token and before the new one is stored: the
//     new one is lost. Another process tries the old one as above; a provider that does
//     not take it again answers invalid_grant, and the error's message says that the
//     answer of an earlier refresh was lost.
//   - After it is stored: everybody gets it.
//
// PostgreSQL down before the call is an error, and the provider is not called. Down
// after it, storing is tried for 2 minutes, then logged as an error: the failure has
// details.outcomeUnknown. This process keeps the tokens in memory, goes on trying in
// the background, each second and once more at Close, and does not use the old one
// again. Tokens that are stored late end the error that another process has set
// because the provider refused the old one.
//
// An unknown account is RecordNotFound. One without a refresh token is InvalidQuery
// naming accountId; a Repo without a TokenRefresher names TokenRefresher. Where the
// credentials are replaced meanwhile, the new ones are given; where they hold no
// access token, it is TransactionConflict.
//
// On a transaction's client it works beside the transaction, whose rollback does not
// undo it: the provider may have taken the old token back. So it knows nothing of what
// the transaction has written: an account that was created in it is RecordNotFound,
// and one that was changed in it is InvalidQuery naming accountId, as its row is locked.
func (r *Repo) RefreshOAuthToken(ctx context.Context, accountID string) result.Result[Refreshed] {
	id, err := result.ParseID("accountId", accountID)
	if err != nil {
		return result.Fail[Refreshed](err)
	}
	outside, err := r.refreshable(ctx, id)
	if err != nil {
		return result.Fail[Refreshed](err)
	}
	return result.Of(outside.refresh(ctx, id, 0))
}

var (
	errNoRefresher    = result.Invalid("TokenRefresher", "required to refresh tokens, or RELAYSTORE_OAUTH")
	errNoRefreshToken = result.Invalid("accountId", "the account has no refresh token")
	errClosed         = result.New(result.ConnectionFailed, "the client is closed")
	errWaited         = result.New(result.QueryTimeout, "another process has not finished its refresh in time")
	errReplaced       = result.New(result.TransactionConflict, "the credentials were replaced meanwhile")
)

// refresh lets the callers of a process share a flight. With ahead, it does nothing
// for a token that is good for longer than that.
func (r *Repo) refresh(ctx context.Context, id uuid.UUID, ahead time.Duration) (Refreshed, error) {
	if r.TokenRefresher == nil {
		return Refreshed{}, errNoRefresher
	}
	if err := ctx.Err(); err != nil {
		return Refreshed{}, err
	}
	name := id.String()
	if ahead > 0 {
		name += " ahead" // its outcome may be that nothing was due
	}
	done := r.refreshes.flights.DoChan(name, func() (any, error) {
		if !r.refreshes.begin() {
			return Refreshed{}, errClosed
		}
		defer r.refreshes.end()
		f := &flight{Repo: r, own: r.refreshes, id: id, holder: uuid.New(), ahead: ahead}
		a, err := f.run(f.own.waiting)
		if errors.Is(err, context.Canceled) && f.own.waiting.Err() != nil {
			err = errClosed
		}
		return a, err
	})
	select {
	case res := <-done:
		a, _ := res.Val.(Refreshed)
		return a, res.Err
	case <-ctx.Done():
		return Refreshed{}, ctx.Err()
	}
}

func (rs *refreshes) begin() bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return false
	}
	rs.running.Add(1)
	rs.active.Add(1)
	return true
}

func (rs *refreshes) end() {
	rs.active.Add(-1)
	rs.running.Done()
}

// Close lets refreshes that have called their provider end until ctx's deadline, and
// stores what the process still keeps. Accounts whose tokens are perhaps lost are
// named in details.accountIds: they may have to be authorised anew.
func (r *Repo) Close(ctx context.Context) error {
	if r.Primary.InTx() {
		return nil // of a transaction's own client
	}
	rs := r.refreshes
	rs.mu.Lock()
	rs.closed = true
	rs.mu.Unlock()
	rs.stopWaiting()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		rs.running.Wait()
		for _, u := range rs.unstored() {
			_, _ = r.storeOnce(ctx, u)
		}
	}()
	var late error
	select {
	case <-ended:
	case <-ctx.Done():
		late = result.New(result.QueryTimeout, "the deadline of Close passed with %d refreshes still running", rs.active.Load())
	}
	rs.stopWork()
	return errors.Join(late, r.lost(rs.unstored()))
}

func (r *Repo) lost(all []*unstored) error {
	if len(all) == 0 {
		return nil
	}
	ids := make([]string, len(all))
	for i, u := range all {
		ids[i] = u.id.String()
	}
	r.Logger.Error("relaystore: closed before the new tokens of accounts were stored, they may have to be authorised anew", "accounts", ids)
	e := result.New(result.ConnectionFailed, "the new tokens of %d accounts could not be stored: they may have to be authorised anew", len(ids))
	return e.With("accountIds", ids).With("outcomeUnknown", true)
}
