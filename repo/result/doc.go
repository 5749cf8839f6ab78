// Package result is the vocabulary that every method of relaystore answers in.
//
// # Envelopes
//
// A method returns a [Result] (data or a failure) or a [Status] (success or a
// failure). Both marshal to the contract's envelopes:
//
//	{"success":true,"data":…}
//	{"success":false,"error":"…","code":"DB_RECORD_NOT_FOUND"}
//
// In Go, Get and Err give the plain value and error.
//
// # Errors
//
// A failure is an [*Error] with a [Code]; errors.Is(err, result.RecordNotFound)
// tests for one. [From] is the only place where errors of pgx, rueidis and
// context become codes: by SQLSTATE and type, never by text. No message holds
// SQL, a connection string, a key or a token.
//
// # Values
//
// [Money] is exact, [Opt] tells absent from null, [Time] prints as JavaScript
// does, and [Decode] reads a JSON object so that a refusal names the field.
package result
