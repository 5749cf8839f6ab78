package accounts

import "github.com/seed14a526e0/relaystore/repo/result"

const (
	defaultPage = 50
	maxPage     = 1000
	maxOffset   = 1 << 31
)

// AvailableFilters narrow GetAvailableAccounts.
type AvailableFilters struct {
	// Status asks for one status in place of the rule of availability.
	Status string `json:"status,omitempty"`
	// RateLimitAvailable asks for accounts that the provider gives tokens now, or,
	// false, for those that it does not.
	RateLimitAvailable *bool `json:"rateLimitAvailable,omitempty"`
	// MinTokensRemaining leaves out accounts that are known to have fewer.
	MinTokensRemaining int64 `json:"minTokensRemaining,omitempty"`
	// Platform is one of Platforms, claude where it is empty. An extension.
	Platform string `json:"platform,omitempty"`
	// Limit is how many accounts are given at most: 1 to 1,000, 0 for 1,000. An
	// extension.
	Limit int `json:"limit,omitempty"`
}

// ListFilters narrow ListAccounts; the zero value gives the 50 newest accounts.
type ListFilters struct {
	// Platform and Status ask for one; "" is any.
	Platform string `json:"platform,omitempty"`
	Status   string `json:"status,omitempty"`
	// Limit is the page's size: 1 to 1,000, 0 for 50.
	Limit int `json:"limit,omitempty"`
	// Offset is how many accounts come before the page.
	Offset int `json:"offset,omitempty"`
}

// Page is a part of a list.
type Page struct {
	Accounts []Account `json:"accounts"`
	// Total counts the accounts on all pages.
	Total int `json:"total"`
	// Page is offset / limit + 1.
	Page       int `json:"page"`
	TotalPages int `json:"totalPages"`
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (f *AvailableFilters) UnmarshalJSON(data []byte) error {
	type plain AvailableFilters
	return result.DecodeStrict(data, (*plain)(f))
}

// UnmarshalJSON refuses wrong and unknown members by name.
func (f *ListFilters) UnmarshalJSON(data []byte) error {
	type plain ListFilters
	return result.DecodeStrict(data, (*plain)(f))
}

func (f *AvailableFilters) normalise() error {
	if f.Platform == "" {
		f.Platform = Claude
	}
	if f.Limit == 0 {
		f.Limit = maxPage
	}
	if f.MinTokensRemaining < 0 || f.MinTokensRemaining > maxCount {
		return result.Invalid("minTokensRemaining", "must lie between 0 and %d", maxCount)
	}
	return checkFilters(f.Platform, f.Status, f.Limit)
}

func (f *ListFilters) normalise() error {
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	if f.Offset < 0 || f.Offset >= maxOffset {
		return result.Invalid("offset", "must lie between 0 and %d", maxOffset-1)
	}
	return checkFilters(f.Platform, f.Status, f.Limit)
}

func checkFilters(platform, status string, limit int) error {
	if limit < 1 || limit > maxPage {
		return result.Invalid("limit", "must lie between 1 and %d", maxPage)
	}
	if platform != "" {
		if err := oneOf("platform", platform, Platforms); err != nil {
			return err
		}
	}
	if status == "" {
		return nil
	}
	return oneOf("status", status, Statuses)
}
