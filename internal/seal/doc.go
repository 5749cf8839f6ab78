// Package seal seals secrets for columns of the database with Tink's AEAD, and
// keeps the keysets that do so.
//
// A sealed text is bound to its row and its column: moved to another one, it does
// not open. It begins with the id of the key that sealed it, so that what an old
// key sealed can be found.
package seal
