import { LabIcon } from '@jupyterlab/ui-components';

/** A cloud. */
export const skyIcon = new LabIcon({
  name: 'jupyter-skytorch:sky',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">' +
    '<path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M4.5 13a3.25 3.25 0 0 1-.4-6.48 4.25 4.25 0 0 1 8.2 1.03A2.75 2.75 0 0 1 11.75 13z"/>' +
    '</svg>'
});
