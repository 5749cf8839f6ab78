// Package accounts keeps the upstream accounts that a gateway calls providers
// with: the contract's ClaudeAccountInterface, and the same for every platform of
// the legacy service.
//
// # Secrets
//
// Tokens, API keys and proxy passwords are sealed with the keyset of the
// configuration; the seal binds each to its row and its column. [Repo.GetCredentials]
// is the one method that gives them; it is cached sealed and opened in memory.
// What holds them in Go prints, logs and marshals as "[redacted]", also as a member of
// a patch or in a list; the JSON of an answer's envelope reveals what was asked for,
// and so does [Credentials.RevealJSON]. fmt cannot ask a value that stands in an
// unexported field of a caller's struct, and prints it: do not keep them in one that
// is printed. Without a keyset, accounts without secrets work.
//
// # Availability
//
// An account is available when it is schedulable and active, or rate_limited with
// its reset passed, by the clock of the call: nobody has to write that a limit is
// over. [Repo.GetAvailableAccounts] lists such accounts in the order in which a
// scheduler takes them.
//
// # Refreshes
//
// [Repo.RefreshOAuthToken] calls the provider once for all callers of all processes:
// an access token that expires under load must not cost the account, since many
// providers end an authorisation whose refresh token is used twice. The lease of an
// account, the intent to use its token, and the outcome are a row in PostgreSQL.
//
// # Redis as the primary
//
// Where Redis is the primary, accounts lie there as the legacy service has them, which
// may go on working on the same ones: its hashes (Bedrock's JSON), its index and shared
// sets, its cipher, its words for a limit. Each change is one script that compares the
// epoch and the fields it hangs on, and leaves the others alone. A refresh takes the
// service's lock of the account beside the lease in a key of our own, so neither
// refreshes while the other does. What the layout has no place for is in fields of our
// own, whose names begin with relaystore. [strategy.RedisLimits] names the limits.
//
// # Errors
//
// [Repo.SetCredentials] authorises an account anew and ends its error. Deleting is
// soft: reports keep the name, the secrets go at once.
package accounts
