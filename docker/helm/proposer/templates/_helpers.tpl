{{- define "proposer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The full name leaves room for the longest suffix, that of the merge job and its pods. */}}
{{- define "proposer.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "proposer.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "proposer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "proposer.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Not the name of the service, whose Service and NetworkPolicy must not select these pods. */}}
{{- define "proposer.batchLabels" -}}
app.kubernetes.io/name: {{ printf "%s-batch" (include "proposer.name" . | trunc 57 | trimSuffix "-") | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Labels and annotations of an object: a list of the root and the labels that only this object has. */}}
{{- define "proposer.metadata" -}}
{{- $ := index . 0 }}
{{- $own := dict }}
{{- if gt (len .) 1 }}{{ $own = index . 1 }}{{ end }}
{{- $annotations := dict }}
{{- if gt (len .) 2 }}{{ $annotations = index . 2 }}{{ end }}
{{- $labels := include "proposer.selectorLabels" $ | fromYaml }}
{{- $_ := set $labels "app.kubernetes.io/version" ($.Chart.AppVersion | trunc 63 | trimSuffix "-") }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $.Release.Service }}
{{- $_ := set $labels "app.kubernetes.io/part-of" "proposer" }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- /* The chart's own labels win, as selectors need them. */ -}}
labels:
  {{- toYaml (merge dict $own $labels $.Values.commonLabels) | nindent 2 }}
{{- with merge dict $annotations $.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "proposer.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ if eq $image.variant "slim" }}-slim{{ end }}
{{- end }}
{{- end }}

{{- define "proposer.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "proposer.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "proposer.tokensSecret" -}}
{{- .Values.tokens.existingSecret | default (printf "%s-tokens" (include "proposer.fullname" .)) }}
{{- end }}

{{- define "proposer.tlsSecret" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "proposer.fullname" .)) }}
{{- end }}

{{- define "proposer.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 .Values.tls.enabled) | int }}
{{- end }}

{{/* A number as digits: YAML's large numbers are floating-point ones here. */}}
{{- define "proposer.text" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{/* A quantity of Kubernetes as a number, such as 4Gi. */}}
{{- define "proposer.quantity" -}}
{{- $text := include "proposer.text" . }}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- $unit := regexFind "[A-Za-z]*$" $text }}
{{- mulf (float64 (trimSuffix $unit $text)) (get $units $unit) | printf "%f" }}
{{- end }}

{{/* GOMEMLIMIT for a memory limit: 7/8 of it. */}}
{{- define "proposer.goMemLimit" -}}
{{- divf (mulf (include "proposer.quantity" . | float64) 7) 8388608 | floor | int64 }}MiB
{{- end }}

{{/* Resources: a list of them and their value's name. Checks what the API server would refuse. */}}
{{- define "proposer.resources" -}}
{{- $resources := index . 0 }}
{{- $name := index . 1 }}
{{- range $resource, $request := $resources.requests | default dict }}
{{- with get ($resources.limits | default dict) $resource }}
{{- if gt (include "proposer.quantity" $request | float64) (include "proposer.quantity" . | float64) }}
{{- fail (printf "%s: the request of %s is %s, the limit %s: want a request of no more than the limit" $name $resource (include "proposer.text" $request) (include "proposer.text" .)) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{/* A duration in whole seconds, rounded up. */}}
{{- define "proposer.seconds" -}}
{{- $units := dict "ns" 1e-9 "us" 1e-6 "µs" 1e-6 "ms" 1e-3 "s" 1.0 "m" 60.0 "h" 3600.0 }}
{{- $seconds := 0.0 }}
{{- range regexFindAll "[0-9.]+[a-zµ]+" (toString .) -1 }}
{{- $unit := regexFind "[a-zµ]+$" . }}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $units $unit)) }}
{{- end }}
{{- ceil $seconds | int64 }}
{{- end }}

{{- define "proposer.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
# Lets the group read secrets and write boxes.
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "proposer.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where pods run and how they pull the image. */}}
{{- define "proposer.pod" -}}
automountServiceAccountToken: false
# Without service links: PROPOSER_PORT and the like would look like settings.
enableServiceLinks: false
securityContext:
  {{- include "proposer.podSecurityContext" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "proposer.container" -}}
image: {{ include "proposer.image" . | quote }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
securityContext:
  {{- include "proposer.securityContext" . | nindent 2 }}
{{- end }}

{{/* A Job is immutable: another name for each change. */}}
{{- define "proposer.batchName" -}}
{{- $v := .Values }}
{{- $spec := list $v.batch (include "proposer.image" .) $v.image.pullPolicy $v.image.pullSecrets $v.nodeSelector $v.tolerations $v.affinity $v.priorityClassName $v.podLabels $v.podAnnotations $v.commonLabels $v.commonAnnotations .Chart.Version }}
{{- printf "%s-batch-%s" (include "proposer.fullname" .) (toJson $spec | sha256sum | trunc 8) }}
{{- end }}
