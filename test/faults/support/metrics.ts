const SAMPLE = /^(\w+)(?:\{(.*)\})? (\S+)$/gm;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * A look-up in the text of a `/metrics` page: the sum of the samples of this name that have these labels; 0 where
 * there is none, since a counter has no sample before its first event.
 */
export function parseMetrics(text: string) {
  const samples = [...text.matchAll(SAMPLE)].map(([, name, labels = "", value]) => ({
    name,
    labels: new Map([...labels.matchAll(LABEL)].map(([, label, text]) => [label, text])),
    value: Number(value),
  }));
  return (name: string, labels: Record<string, string> = {}): number =>
    samples
      .filter((sample) => sample.name === name)
      .filter((sample) => Object.entries(labels).every(([k, v]) => sample.labels.get(k) === v))
      .reduce((sum, { value }) => sum + value, 0);
}
