package sessions

import (
	"encoding/json"
	"time"
)

// UserType is what kind of user a session is of.
type UserType string

// The contract's user types.
const (
	Admin UserType = "admin"
	User  UserType = "user"
)

// DefaultTTL is how long a session lives that names no TTL.
const DefaultTTL = 24 * time.Hour

// Data is what a session is created with: the contract's sessionData argument.
// UserID, UserType and SessionData are required.
type Data struct {
	// UserID is any text of 1 to 256 bytes.
	UserID string
	// UserType is Admin or User.
	UserType UserType
	// SessionData is a JSON object of at most Config.MaxSessionData bytes.
	SessionData json.RawMessage
	// TTL is how long the session lives, 1 ms to 36,500 days; 0 is DefaultTTL. In
	// JSON it is ttlSeconds.
	TTL time.Duration
	// IPAddress is an IPv4 or IPv6 address without a zone, or "".
	IPAddress string
	// UserAgent has at most 1,024 characters.
	UserAgent string
}

// Patch is a partial update: the contract's updateData. What is absent stays.
type Patch struct {
	// SessionData replaces the stored object as a whole.
	SessionData json.RawMessage
	// ExtendTTL makes the session end so long from now, which may also be sooner
	// than it would have; 1 ms to 36,500 days, 0 leaves the end. In JSON it is in
	// seconds. Each update is a write that every process hears of: a gateway that
	// extends on use should do so when a good part of the time has passed.
	ExtendTTL time.Duration
}

// Created is what CreateSession gives.
type Created struct {
	// SessionToken is shown this once.
	SessionToken string    `json:"sessionToken"`
	ExpiresAt    time.Time `json:"expiresAt"`
}

// Validation is what ValidateSession gives.
type Validation struct {
	UserID   string   `json:"userId"`
	UserType UserType `json:"userType"`
	// SessionData is the caller's own copy.
	SessionData json.RawMessage `json:"sessionData"`
	// ExpiresAt may lag behind what UpdateSession has told, under write_behind.
	ExpiresAt time.Time `json:"expiresAt"`
	// IsValid is false for a session that has ended.
	IsValid bool `json:"isValid"`
}

// Updated is what UpdateSession gives.
type Updated struct {
	ExpiresAt time.Time `json:"expiresAt"`
}

// Cleaned is what CleanupExpiredSessions gives.
type Cleaned struct {
	DeletedSessions int `json:"deletedSessions"`
}

// Session is a stored session as an operator sees it: without token and data.
type Session struct {
	// ID is a UUID; ids are in the order of creation.
	ID        string    `json:"id"`
	UserID    string    `json:"userId"`
	UserType  UserType  `json:"userType"`
	IPAddress string    `json:"ipAddress,omitempty"`
	UserAgent string    `json:"userAgent,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	// ExpiresAt may lag as Validation's.
	ExpiresAt time.Time `json:"expiresAt"`
	// IsValid is false for a session that has ended.
	IsValid bool `json:"isValid"`
}

// Filters narrow ListSessions; the zero value gives the 50 newest sessions.
type Filters struct {
	// UserID asks for one user's sessions.
	UserID string `json:"userId,omitempty"`
	// Before asks for sessions older than the one of this id: the last one of a page
	// leads to the next.
	Before string `json:"before,omitempty"`
	// Limit is 1 to 1,000, 0 for 50.
	Limit int `json:"limit,omitempty"`
}

// Page is a part of a list, newest first.
type Page struct {
	Sessions []Session `json:"sessions"`
}

// Revoked is what RevokeUserSessions gives.
type Revoked struct {
	RevokedSessions int `json:"revokedSessions"`
}
