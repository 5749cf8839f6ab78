// Package replay feeds a real request trace through the library as a gateway
// would: it validates the row's key, then records the row's use.
//
// A trace is CSV or gzipped CSV with the columns TIMESTAMP, ContextTokens and
// GeneratedTokens, as Azure publishes them. It is read twice: once to check every
// row, so that a bad one is named before anything is written, and once to replay.
// Keys and request ids follow from the file alone, so a replay that was killed or
// is run again counts nothing twice.
package replay
