package legacy

import (
	"encoding/json"
	"errors"
	"strconv"
)

func (d *accountDecoder) secrets() {
	a := &d.a
	a.AccessToken, a.RefreshToken = d.open("accessToken"), d.open("refreshToken")
	a.APIKey, a.IDToken = d.open("apiKey"), d.open("idToken")
	if a.Platform == Claude || a.Platform == OpenAI {
		a.Email, a.Password = d.open("email"), d.open("password")
	}
	if a.Platform == Bedrock {
		d.bedrock()
	}
	if a.Platform == Droid {
		d.droidKeys()
	}
	for _, name := range []string{"claudeAiOauth", "geminiOauth", "openaiOauth"} {
		if doc := d.open(name); doc != "" {
			a.Rest[name] = doc
			d.fillTokens(name, doc)
		}
	}
}

// open takes a secret. One that is not sealed is what the service uses as it stands.
func (d *accountDecoder) open(name string) string {
	text := d.take(name)
	opened, err := d.opener.Open(d.a.Platform, text)
	switch {
	case errors.Is(err, ErrNotSealed):
		d.fault(name, "was not sealed; taken as it stands")
		return text
	case err != nil:
		d.fault(name, err.Error())
	}
	return opened
}

// fillTokens takes from the OAuth answer what the record does not have by itself.
func (d *accountDecoder) fillTokens(name, doc string) {
	var o struct {
		AccessToken   string `json:"accessToken"`
		RefreshToken  string `json:"refreshToken"`
		AccessToken2  string `json:"access_token"`
		RefreshToken2 string `json:"refresh_token"`
	}
	if json.Unmarshal([]byte(doc), &o) != nil {
		d.fault(name, "not the document that it should be")
		return
	}
	fill := func(into *string, texts ...string) {
		for _, text := range texts {
			if *into == "" {
				*into = text
			}
		}
	}
	fill(&d.a.AccessToken, o.AccessToken, o.AccessToken2)
	fill(&d.a.RefreshToken, o.RefreshToken, o.RefreshToken2)
}

// bedrock opens the two documents that Bedrock has for secrets; the service takes
// open ones as well.
func (d *accountDecoder) bedrock() {
	document := func(name string, into any) {
		doc := d.take(name)
		if doc == "" {
			return
		}
		opened, err := d.opener.Open(Bedrock, doc)
		if errors.Is(err, ErrNotSealed) {
			opened, err = doc, nil
		}
		if err == nil && json.Unmarshal([]byte(opened), into) != nil {
			err = ErrUnopened
		}
		if err != nil {
			d.fault(name, err.Error())
		}
	}
	var aws AWSCredentials
	if document("awsCredentials", &aws); aws.AccessKeyID != "" && aws.SecretAccessKey != "" {
		d.a.AWS = &aws
	}
	var bearer struct {
		Token string `json:"token"`
	}
	document("bearerToken", &bearer)
	d.a.BearerToken = bearer.Token
}

func (d *accountDecoder) droidKeys() {
	doc := d.take("apiKeys")
	if doc == "" {
		return
	}
	var entries []struct {
		EncryptedKey string `json:"encryptedKey"`
	}
	if json.Unmarshal([]byte(doc), &entries) != nil {
		d.fault("apiKeys", "not a JSON array of keys")
		return
	}
	d.a.Rest["apiKeys"] = doc
	for _, e := range entries {
		key, err := d.opener.Open(Droid, e.EncryptedKey)
		switch {
		case errors.Is(err, ErrNotSealed):
			key = e.EncryptedKey
		case err != nil:
			d.fault("apiKeys", err.Error())
		}
		if key != "" {
			d.a.APIKeys = append(d.a.APIKeys, key)
		}
	}
}

// proxy reads the proxy's document, which may be a JSON text of a JSON text.
func (d *accountDecoder) proxy() {
	doc := d.take("proxy")
	var inner string
	if json.Unmarshal([]byte(doc), &inner) == nil {
		doc = inner
	}
	if doc == "" {
		return
	}
	var p struct {
		Type     string          `json:"type"`
		Protocol string          `json:"protocol"`
		Host     string          `json:"host"`
		Port     json.RawMessage `json:"port"`
		Username string          `json:"username"`
		Password string          `json:"password"`
	}
	if json.Unmarshal([]byte(doc), &p) != nil {
		d.fault("proxy", "not a JSON object")
		return
	}
	port, err := strconv.Atoi(TextOf(p.Port))
	if err != nil || p.Host == "" {
		d.fault("proxy", "without a host or a port")
		return
	}
	if p.Type == "" {
		p.Type = p.Protocol
	}
	d.a.Proxy = &Proxy{Type: p.Type, Host: p.Host, Port: port, Username: p.Username, Password: p.Password}
}
