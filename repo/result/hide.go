package result

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Hidden is embedded by what holds a secret. Whose JSON shows it calls Format and
// LogValue alone.
type Hidden struct{}

// Format prints "[redacted]" for every verb.
func (Hidden) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue logs "[redacted]".
func (Hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON gives "[redacted]".
func (Hidden) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
