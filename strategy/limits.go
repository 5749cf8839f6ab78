package strategy

// Limit is one way in which a data type is less, or otherwise, where its primary is
// Redis. Each is tested by its name.
type Limit struct {
	// Name is a word or two, unique in the data type.
	Name string
	// Text says what happens.
	Text string
}

// RedisLimits are the limits of a Redis primary, which speaks the legacy service's
// layout, by data type.
var RedisLimits = map[DataType][]Limit{Usage: usageLimits}
