// Package repo is the one entry to relaystore: the contract's DatabaseClient.
//
//	cfg, err := repo.ConfigFromEnv()
//	client, err := repo.Open(ctx, cfg)
//	defer client.Close(ctx)
//	v, err := client.APIKeys.ValidatePlaintext(ctx, sent).Get()
//
// A [Client] holds one pool of PostgreSQL connections, one connection to Redis,
// and a repo for each interface of the contract. It is safe for concurrent use;
// a process needs one.
package repo
