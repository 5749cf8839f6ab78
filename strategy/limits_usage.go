package strategy

var usageLimits = []Limit{
	{"transactions", "methods inside a transaction are DB_INVALID_QUERY"},
	{"key and account", "figures of a key and an account, of a key by account and of an account by key are DB_INVALID_QUERY naming accountId " +
		"or groupBy: the layout counts them apart"},
	{"history", "hours older than 7 days, days older than 32 and months older than 365 have expired: DB_INVALID_QUERY naming startDate"},
	{"zones", "the finest counters are hours of RELAYSTORE_LEGACY_TZ_OFFSET: zones that lie by a part of an hour from it, and other zones' days " +
		"and months from more than 7 days ago, are DB_INVALID_QUERY naming timeZone"},
	{"edges", "an hour that an end of the range divides counts if it starts in the range, and so does a day or month whose hours have " +
		"expired; its bucket is approximate"},
	{"money", "sums are binary: their noise lies behind the 16th digit, figures are rounded to 12 decimals; a cost above 9,000,000,000 is " +
		"DB_INVALID_QUERY naming cost"},
	{"counters", "a counter that is damaged, or would pass 2⁵³ - 1, refuses the record as a whole: DB_CONSTRAINT_VIOLATION with details.key"},
	{"models", "models have the service's names, without a region, a vendor or a version's suffix"},
	{"costs by model", "a key's cost is divided among its models by the millionths that the layout counts"},
	{"old costs", "days from more than 30 days ago and months from more than 90 cost the sum of those millionths, and are approximate"},
	{"costs by account", "the layout has none: they are those of relaystore's own records; a bucket with others is approximate, and a cost " +
		"analysis by account with others is DB_INVALID_QUERY naming groupBy"},
	{"moments", "figures are many reads: what is recorded meanwhile may be in some counters and not in others"},
	{"records", "the last 200 of a key stay for 90 days; a clean-up deletes nothing, and one of rollups is DB_INVALID_QUERY naming rollups"},
}
