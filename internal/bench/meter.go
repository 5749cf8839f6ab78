package bench

import "github.com/seed14a526e0/relaystore/repo"

// consistency asks the library's meter how many cached answers it has compared
// with PostgreSQL, and how many of them were older than promised.
func consistency(c *repo.Client) (checked, violating int64) {
	counted := c.APIKeys.Consistency()
	return counted.Checked, counted.Violating
}
