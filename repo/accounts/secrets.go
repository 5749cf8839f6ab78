package accounts

import "strings"

// text is what is sealed of the secrets: lines of name=value, which no secret can
// break, since none holds a control character. Decoding JSON made a hit of
// GetCredentials 27 µs long.
func (s *Secrets) text() string {
	var lines []string
	add := func(name, value string) {
		if value != "" {
			lines = append(lines, name+"="+value)
		}
	}
	add("idToken", s.IDToken)
	add("email", s.Email)
	add("password", s.Password)
	add("bearerToken", s.BearerToken)
	if s.AWS != nil {
		add("accessKeyId", s.AWS.AccessKeyID)
		add("secretAccessKey", s.AWS.SecretAccessKey)
		add("sessionToken", s.AWS.SessionToken)
	}
	for _, k := range s.APIKeys {
		add("apiKey", k)
	}
	return strings.Join(lines, "\n")
}

// parseSecrets reads what text wrote; names of a later version are passed over.
func parseSecrets(text string) (s Secrets) {
	if text == "" {
		return s
	}
	var aws AWSCredentials
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "idToken":
			s.IDToken = value
		case "email":
			s.Email = value
		case "password":
			s.Password = value
		case "bearerToken":
			s.BearerToken = value
		case "accessKeyId":
			aws.AccessKeyID = value
		case "secretAccessKey":
			aws.SecretAccessKey = value
		case "sessionToken":
			aws.SessionToken = value
		case "apiKey":
			s.APIKeys = append(s.APIKeys, value)
		}
	}
	if aws != (AWSCredentials{}) {
		s.AWS = &aws
	}
	return s
}
