package accounts

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/seed14a526e0/relaystore/repo/result"
)

const (
	maxSecret    = 16 << 10
	maxSecrets   = 64 << 10
	maxList      = 100
	maxScope     = 255
	maxHost      = 255
	maxProxyText = 1024
	maxPort      = 65535
)

func (d *AccountData) checkCredentials() error {
	if d.OAuthData != nil {
		if err := d.OAuthData.check("oauthData"); err != nil {
			return err
		}
	}
	if d.ProxyConfig != nil {
		if err := d.ProxyConfig.check("proxyConfig"); err != nil {
			return err
		}
	}
	if err := checkSecret("apiKey", d.APIKey); err != nil {
		return err
	}
	return d.Secrets.check("secrets")
}

func (o *OAuthData) check(field string) error {
	if o.AccessToken == "" && o.RefreshToken == "" {
		return result.Invalid(field+".accessToken", "required")
	}
	if err := checkSecret(field+".accessToken", o.AccessToken); err != nil {
		return err
	}
	if err := checkSecret(field+".refreshToken", o.RefreshToken); err != nil {
		return err
	}
	if len(o.Scopes) > maxList {
		return result.Invalid(field+".scopes", "more than %d entries", maxList)
	}
	for _, s := range o.Scopes {
		if s == "" {
			return result.Invalid(field+".scopes", "holds an empty text")
		}
		if err := result.CheckText(field+".scopes", s, maxScope); err != nil {
			return err
		}
	}
	return checkTime(field+".expiresAt", o.ExpiresAt)
}

// hostName lets names pass; whatever could end a URL's host does not.
var hostName = regexp.MustCompile(`^[\pL\pN_-]+(\.[\pL\pN_-]+)*\.?$`)

func (p *ProxyConfig) check(field string) error {
	if err := oneOf(field+".type", p.Type, proxyTypes); err != nil {
		return err
	}
	if err := result.CheckText(field+".host", p.Host, maxHost); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(p.Host); err != nil && !hostName.MatchString(p.Host) {
		return result.Invalid(field+".host", "not a host's name or address")
	}
	if p.Port < 1 || p.Port > maxPort {
		return result.Invalid(field+".port", "must lie between 1 and %d", maxPort)
	}
	if err := result.CheckText(field+".username", p.Username, maxProxyText); err != nil {
		return err
	}
	return result.CheckText(field+".password", p.Password, maxProxyText)
}

// checkSecret refuses what cannot stand in an HTTP header, and never quotes it.
func checkSecret(field, text string) error {
	switch {
	case len(text) > maxSecret:
		return result.Invalid(field, "larger than %d bytes", maxSecret)
	case !utf8.ValidString(text):
		return result.Invalid(field, "not valid UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return result.Invalid(field, "holds a control character")
	}
	return nil
}

func (s *Secrets) check(field string) error {
	aws := s.AWS
	if aws == nil {
		aws = &AWSCredentials{}
	} else if aws.AccessKeyID == "" || aws.SecretAccessKey == "" {
		return result.Invalid(field+".awsCredentials", "needs accessKeyId and secretAccessKey")
	}
	for _, t := range []struct{ name, text string }{
		{"idToken", s.IDToken}, {"email", s.Email}, {"password", s.Password}, {"bearerToken", s.BearerToken},
		{"awsCredentials.accessKeyId", aws.AccessKeyID}, {"awsCredentials.secretAccessKey", aws.SecretAccessKey},
		{"awsCredentials.sessionToken", aws.SessionToken},
	} {
		if err := checkSecret(field+"."+t.name, t.text); err != nil {
			return err
		}
	}
	if len(s.APIKeys) > maxList {
		return result.Invalid(field+".apiKeys", "more than %d entries", maxList)
	}
	for _, k := range s.APIKeys {
		if k == "" {
			return result.Invalid(field+".apiKeys", "holds an empty text")
		}
		if err := checkSecret(field+".apiKeys", k); err != nil {
			return err
		}
	}
	if len(s.text()) > maxSecrets {
		return result.Invalid(field, "larger than %d bytes", maxSecrets)
	}
	return nil
}
