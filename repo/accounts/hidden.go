package accounts

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// hidden keeps the secrets of a struct that embeds it out of prints and logs. JSON
// has them: it is how they come in and, from GetCredentials, go out.
type hidden struct{}

// Format prints "[redacted]" for every verb.
func (hidden) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue logs "[redacted]".
func (hidden) LogValue() slog.Value { return slog.StringValue(redacted) }
